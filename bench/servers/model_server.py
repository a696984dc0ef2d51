"""A model server in a process of its own, so that its work delays no measurement.

As a program: it prints its address. Each line of JSON on its input changes its behaviour from the
next request on, and is answered with what it has done so far. It ends with its input.
"""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.servers.reply import script
from llm_router.testing.server import Behaviour, FaultyServer

_ROOT = Path(__file__).parents[2]


ALWAYS = (True,)
"""The pattern of a fault that strikes every request."""


@dataclass(frozen=True, slots=True)
class Work:
    """Work of a server: words sent, and requests received."""

    words: int
    requests: int

    def __add__(self, other: "Work") -> "Work":
        return Work(self.words + other.words, self.requests + other.requests)

    def __sub__(self, other: "Work") -> "Work":
        return Work(self.words - other.words, self.requests - other.requests)


class ModelServer:
    """A server in another process. `first_word`: seconds to its first word while it is healthy."""

    def __init__(self, process: Process, base_url: str, first_word: float) -> None:
        self.base_url = base_url
        self._process = process
        self._first_word = first_word

    async def behave(self, changes: Mapping[str, Any], pattern: Sequence[bool] = ALWAYS) -> None:
        """Changes the replies to the requests that `pattern` selects, from the next one on.

        The pattern is repeated; the replies to the other requests stay healthy.
        """
        await self._send(
            {"first_word": self._first_word, "changes": changes, "pattern": list(pattern)}
        )

    async def work(self) -> Work:
        """Returns what it has done so far."""
        return await self._send({})

    async def _send(self, command: Mapping[str, Any]) -> Work:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        return Work(*json.loads(await self._process.stdout.readline()))


@asynccontextmanager
async def model_server(first_word: float) -> AsyncIterator[ModelServer]:
    """Runs a healthy server while the block runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, stdin=PIPE, stdout=PIPE, cwd=_ROOT
    )
    try:
        assert process.stdout is not None
        base_url = (await process.stdout.readline()).decode().strip()
        server = ModelServer(process, base_url, first_word)
        await server.behave({})
        yield server
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


def _behaviour(
    first_word: float, changes: Mapping[str, Any], pattern: Sequence[bool], start: int
) -> Behaviour:
    healthy = script(first_word, {})
    faulty = script(first_word, changes)
    if all(pattern):
        return faulty  # not a function: a server that refuses connections must know at once
    return lambda number: faulty if pattern[(number - start) % len(pattern)] else healthy


async def _serve() -> None:
    async with FaultyServer() as server:
        print(server.base_url, flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            if command := json.loads(line):
                await server.behave(_behaviour(**command, start=len(server.requests)))
            print(json.dumps([server.words_sent, len(server.requests)]), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve())
