"""Model servers that fail at random, in a process of their own.

As a program: one server for each seed. It prints their addresses, one a line. Each line on its
input is answered with the number of replies that are still being sent. It ends with its input.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

from bench.servers.reply import GAP, REPLY
from llm_router.testing.server import Behaviour, Fault, FaultyServer, Script
from llm_router.types import ToolCall

_ROOT = Path(__file__).parents[2]
_WORDS = [" " * bool(place) + word for place, word in enumerate(f"Grüß Gott! {REPLY}".split())]
"""The words of a reply, with letters of two bytes, which one of the faults cuts in half."""
_SPELL = 12
"""Requests for which a server has the same fault, or none."""
_STATUSES = (400, 401, 402, 404, 429, 500, 503, 529)
_LOOKUP = ToolCall("call_0", "lookup", '{"query": "a table for two"}')
_TOOL_SHARE = 0.15
"""Share of the questions that a server answers with a tool call."""


def continues(place: int) -> bool:
    """Returns whether the server continues another's words by a flag; the rest by a request."""
    return place % 2 == 0


def draw_reply(seed: str, number: int, *, question: bool, place: int = 0) -> Script:
    """Returns the reply to a server's `number`-th request, the same for the same seed.

    `question`: the request is a caller's question, not a tool's result.
    """
    spell = Random(f"{seed}/{number // _SPELL}")
    own = Random(f"{seed}/{number}")
    fault_of_spell = spell.choice(list(Fault))
    share = spell.choice((0.0, 0.1, 0.5, 1.0))
    fault = fault_of_spell if own.random() < share else Fault.NONE
    calls = question and own.random() < _TOOL_SHARE
    return Script(
        words=() if calls else _WORDS,
        tool_calls=[_LOOKUP] if calls else (),
        first_token_after=own.choice((0.05, 0.15, 0.15, 0.3, 1.5)),
        gap=GAP,
        fault=fault,
        after=own.randrange(20),
        status=spell.choice(_STATUSES),
        retry_after=spell.choice((None, "1", "3")),
        continues=continues(place),
    )


class SoakServers:
    """The servers in another process."""

    def __init__(self, process: Process, base_urls: Sequence[str]) -> None:
        self.base_urls = base_urls
        self._process = process

    async def streams(self) -> int:
        """Returns how many replies are being sent; cancelled clients must leave none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        return int(await self._process.stdout.readline())


@asynccontextmanager
async def start_servers(seeds: Sequence[str]) -> AsyncIterator[SoakServers]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, *seeds, stdin=PIPE, stdout=PIPE, cwd=_ROOT
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        urls = [(await process.stdout.readline()).decode().strip() for _ in seeds]
        yield SoakServers(process, urls)
    finally:
        process.stdin.close()
        await process.wait()


def _behaviour(server: FaultyServer, seed: str, place: int) -> Behaviour:
    def script(number: int) -> Script:
        question = server.requests[number].messages[-1]["role"] == "user"
        return draw_reply(seed, number, question=question, place=place)

    return script


def _open_streams(server: FaultyServer) -> int:
    return sum(not one.is_finished and one.disconnected_at is None for one in server.requests)


async def _serve(seeds: Sequence[str]) -> None:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(FaultyServer()) for _ in seeds]
        for place, (server, seed) in enumerate(zip(servers, seeds, strict=True)):
            await server.behave(_behaviour(server, seed, place))
            print(server.base_url, flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(sum(map(_open_streams, servers)), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1:]))
