"""Reads and writes the files of a batch, in the form of OpenAI's /v1/batches.

The file of results is the state of a batch: a line that is whole in it is done. So a batch goes on
where it was killed, and needs neither a database nor a name.
"""

import asyncio
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from llm_router.cli.command import CommandError

_LONGEST_LINE = 8_000_000
"""Bytes: those of a request below /v1."""
_LONGEST_ID = 512
_URL = re.compile(r"/v1/[a-z]+(/[a-z]+)?")


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A request of a batch. `url` is a path below /v1."""

    custom_id: str
    url: str
    body: Mapping[str, Any]


def read_lines(file: Path) -> Iterator[BatchLine]:
    """Yields the requests of a file, and reads one line at a time.

    Raises CommandError for the first line that is none, and for an id that comes twice.
    """
    seen: set[str] = set()
    for number, line in _json_lines(file):
        request = _request(line, f"{file}, line {number}")
        if request.custom_id in seen:
            raise CommandError(f"{file}, line {number}: custom_id: another line has the same")
        seen.add(request.custom_id)
        yield request


class BatchResults:
    """The file of results. Close it; while it is open no other process may open it."""

    def __init__(self, file: Path) -> None:
        """Opens the file, made if missing, and drops the rest of a line that was cut off.

        Raises CommandError for a file of something else, and for one that another process has open.
        """
        self.done: dict[str, int] = {}
        """The status of each request that is done, by its custom_id."""
        self._writing = asyncio.Lock()
        try:
            file.touch()
            self._file: IO[bytes] = file.open("r+b")
        except OSError as error:
            raise CommandError(f"{file}: cannot be written ({error})") from error
        try:
            _lock(self._file, file)
            self._file.truncate(self._read(file))
            self._file.seek(0, os.SEEK_END)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        self._file.close()

    async def add(self, custom_id: str, status: int, request_id: str, body: Any) -> None:
        """Adds a result; when this returns it is on the disk."""
        response = {"status_code": status, "request_id": request_id, "body": body}
        result = {
            "id": f"batch_req_{uuid4().hex}",
            "custom_id": custom_id,
            "response": response,
            "error": None,
        }
        line = json.dumps(result, ensure_ascii=False).encode() + b"\n"
        async with self._writing:
            await asyncio.to_thread(self._write, line)
        self.done[custom_id] = status

    def _write(self, line: bytes) -> None:
        self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self, file: Path) -> int:
        """Notes the results in the file; returns where the last whole one ends."""
        end = 0
        for number, line in enumerate(self._file, 1):
            if not line.endswith(b"\n"):
                break
            try:
                result = json.loads(line)
                self.done[str(result["custom_id"])] = int(result["response"]["status_code"])
            except (ValueError, KeyError, TypeError):
                raise CommandError(
                    f"{file}, line {number}: is no result of a batch; name another file"
                ) from None
            end += len(line)
        return end


def _json_lines(file: Path) -> Iterator[tuple[int, Any]]:
    try:
        with file.open("rb") as opened:
            number = 0
            while line := opened.readline(_LONGEST_LINE + 1):
                number += 1
                if len(line) > _LONGEST_LINE:
                    raise CommandError(f"{file}, line {number}: has more than 8 MB")
                if not line.strip():
                    continue
                try:
                    yield number, json.loads(line)
                except (ValueError, RecursionError):
                    raise CommandError(f"{file}, line {number}: is not JSON") from None
    except OSError as error:
        raise CommandError(f"{file}: cannot be read ({error})") from error


def _request(line: Any, place: str) -> BatchLine:
    """Returns the request of a line. Raises CommandError, which names the field."""
    given = line if isinstance(line, dict) else {}
    custom_id, url, body = given.get("custom_id"), given.get("url"), given.get("body")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= _LONGEST_ID:
        raise CommandError(
            f"{place}: custom_id: must be a text of at most {_LONGEST_ID} characters"
        )
    if given.get("method", "POST") != "POST":
        raise CommandError(f"{place}: method: must be POST")
    if not isinstance(url, str) or not _URL.fullmatch(url):
        raise CommandError(f"{place}: url: must be a path such as /v1/chat/completions")
    if not isinstance(body, dict):
        raise CommandError(f"{place}: body: must be an object")
    return BatchLine(custom_id, url, {n: v for n, v in body.items() if n != "stream"})


def _lock(opened: IO[bytes], file: Path) -> None:
    try:
        import fcntl  # noqa: PLC0415  Windows has none, where the user must not start it twice
    except ImportError:
        return
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise CommandError(f"{file}: another process writes it; wait for its end") from None
