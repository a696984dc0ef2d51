"""A model server in a process of its own, so that its work delays no measurement.

As a program: it prints its address. Each line of JSON on its input changes its behaviour from the
next request on, and is answered with the number of words sent so far. It ends with its input.
"""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.servers.reply import script
from llm_router.testing.server import Behaviour, FaultyServer

_ROOT = Path(__file__).parents[2]


class ModelServer:
    """A server in another process. `first_word`: seconds to its first word while it is healthy."""

    def __init__(self, process: Process, base_url: str, first_word: float) -> None:
        self.base_url = base_url
        self._process = process
        self._first_word = first_word

    async def behave(self, changes: Mapping[str, Any], *, one_in: int = 1) -> None:
        """Changes one reply in `one_in`, from the next request on; the others stay healthy."""
        await self._send({"first_word": self._first_word, "changes": changes, "one_in": one_in})

    async def words_sent(self) -> int:
        return await self._send({})

    async def _send(self, command: Mapping[str, Any]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        return int(await self._process.stdout.readline())


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


def _behaviour(first_word: float, changes: Mapping[str, Any], one_in: int) -> Behaviour:
    healthy = script(first_word, {})
    faulty = script(first_word, changes)
    if one_in == 1:
        return faulty  # not a function: a server that refuses connections must know at once
    return lambda number: healthy if (number + 1) % one_in else faulty


async def _serve() -> None:
    async with FaultyServer() as server:
        print(server.base_url, flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            if command := json.loads(line):
                await server.behave(_behaviour(**command))
            print(server.words_sent, flush=True)


if __name__ == "__main__":
    asyncio.run(_serve())
