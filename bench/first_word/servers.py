"""Model servers in processes of their own, so that nothing they do delays whoever is measured.

As a program: one server. It prints its address; each line of JSON on its input changes how it
behaves from the next request on; each is answered with the words sent so far. It ends with its
input.
"""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.first_word.cases import script
from llm_router.testing.server import Behaviour, FaultyServer

_ROOT = Path(__file__).parents[2]


class ModelServer:
    """One server in another process. `first_word`: seconds it takes to when it is well."""

    def __init__(self, process: Process, base_url: str, first_word: float) -> None:
        self._process, self.base_url, self._first_word = process, base_url, first_word

    async def behave(self, changes: Mapping[str, Any], *, one_in: int = 1) -> None:
        """Change one reply in `one_in` so, from the next request on; the rest are as usual."""
        await self._tell({"first_word": self._first_word, "changes": changes, "one_in": one_in})

    async def words_sent(self) -> int:
        return await self._tell({})

    async def _tell(self, command: Mapping[str, Any]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        return int(await self._process.stdout.readline())


@asynccontextmanager
async def model_server(first_word: float) -> AsyncIterator[ModelServer]:
    """A server that is well and ready, for as long as the block lasts."""
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
    well, ill = script(first_word, {}), script(first_word, changes)
    if one_in == 1:
        return ill  # plain, so that nobody listens where that is the fault
    return lambda number: well if (number + 1) % one_in else ill


async def _serve() -> None:
    async with FaultyServer() as server:
        print(server.base_url, flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            if command := json.loads(line):
                await server.behave(_behaviour(**command))
            print(server.words_sent, flush=True)


if __name__ == "__main__":
    asyncio.run(_serve())
