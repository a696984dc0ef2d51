"""Says which numbers are never called: those in a file, and those of a service over HTTP.

A service that gives no answer forbids every call for the moment.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx2

from llm_router.errors import AddressRefusedError, RouterError
from llm_router.net.bodies import ASK_FOR_PLAIN, read_body
from llm_router.net.environment import tls_context
from llm_router.net.guard import AddressGuard
from llm_router.net.transports import EnvironmentTransport
from llm_router.voice.phone.numbers import comparable, parse_number

_MOST = 64 * 1024 * 1024
"""Bytes of a file that is read: some millions of numbers."""
_MAX_ANSWER = 4_096
_WITHIN = 5.0
_OF_A_NUMBER = frozenset({httpx2.codes.BAD_REQUEST, httpx2.codes.UNPROCESSABLE_CONTENT})
"""Answers to the number that was sent. A 404 may also be that of a wrong address."""


class UncertainError(RouterError):
    """Raised when it is not known whether a number may be called. Mend what its message names."""


class NumberUncertainError(UncertainError):
    """Raised where that is so for one number alone."""


class DoNotCall:
    """The numbers that are never called.

    `file` has one number a line, as E.164 or an extension, after which a comment may stand; it is
    read again when it has changed. `url` is asked with {"number": "+..."} and answers
    {"allowed": true} or false; 400 and 422 are its answers to a number that it does not judge.
    """

    def __init__(self, file: Path | None, url: str, guard: AddressGuard) -> None:
        self._file = file
        self._url = url
        self._guard = guard
        self._read_at: tuple[int, int] | None = None
        self._numbers: frozenset[str] = frozenset()

    async def forbids(self, number: str) -> bool:
        """Returns whether a number must not be called. Raises UncertainError."""
        if self._file and comparable(number) in await asyncio.to_thread(self._listed, self._file):
            return True
        return bool(self._url) and not await self._is_allowed(number)

    def _listed(self, file: Path) -> frozenset[str]:
        try:
            facts = file.stat()
            changed = (facts.st_mtime_ns, facts.st_size)
            if changed == self._read_at:
                return self._numbers
            if facts.st_size > _MOST:
                raise UncertainError(f"{file}: is longer than {_MOST:,} bytes; use do_not_call_url")
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise UncertainError(
                f"{file}: cannot be read ({reason}); no number is dialed"
            ) from None
        self._numbers = frozenset(_numbers(text, file))
        self._read_at = changed
        return self._numbers

    async def _is_allowed(self, number: str) -> bool:
        await asyncio.to_thread(tls_context)  # takes tens of milliseconds
        async with httpx2.AsyncClient(
            transport=EnvironmentTransport(self._guard), timeout=_WITHIN, trust_env=False
        ) as client:
            try:
                async with asyncio.timeout(_WITHIN):
                    request = client.build_request(
                        "POST", self._url, json={"number": number}, headers=ASK_FOR_PLAIN
                    )
                    answer = await client.send(request, stream=True)
                    try:
                        body = await read_body(answer, _MAX_ANSWER)
                    finally:
                        await answer.aclose()
            except AddressRefusedError as error:
                raise UncertainError(f"do_not_call_url: {error}") from None
            except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, OSError) as error:
                raise UncertainError(
                    f"do_not_call_url gave no answer ({type(error).__name__}); no number is dialed"
                ) from None
        return _allowed(answer.status_code, body)


def _allowed(status: int, body: bytes) -> bool:
    if status in _OF_A_NUMBER:
        raise NumberUncertainError(f"do_not_call_url answered {status} for the number")
    try:
        allowed = json.loads(body)["allowed"] if status == httpx2.codes.OK else None
    except (ValueError, TypeError, KeyError):
        allowed = None
    if not isinstance(allowed, bool):
        raise UncertainError(
            f'do_not_call_url answered {status}, and not {{"allowed": true}} or false; no number is'
            " dialed"
        )
    return allowed


def _numbers(text: str, file: Path) -> Iterator[str]:
    for place, line in enumerate(text.splitlines(), 1):
        if number := line.partition("#")[0].strip():
            try:
                yield comparable(parse_number(number))
            except ValueError:  # whose message may hold the number
                raise UncertainError(
                    f"{file}, line {place}: is no number; write one such as +4930123456. Until"
                    " then no number is dialed"
                ) from None
