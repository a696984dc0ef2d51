"""Model servers in processes of their own: healthy, hostile, or failing at random.

As a program: one server for each argument, which is `HEALTHY`, `HOSTILE` or the seed of its faults.
It prints their addresses, one a line. Each line on its input is answered with the number of replies
that are still being sent. It ends with its input.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bench.servers.reply import GAP, PRIMARY_FIRST_WORD, REPLY
from bench.soak.hostile.servers import next_attack
from llm_router.testing.server import Behaviour, Fault, FaultyServer, Script
from llm_router.types import ToolCall

_ROOT = Path(__file__).parents[2]
_WORDS = [" " * bool(place) + word for place, word in enumerate(f"Grüß Gott! {REPLY}".split())]
"""The words of a reply, with letters of two bytes, which one of the faults cuts in half."""
TEXT = "".join(_WORDS)
"""A whole reply."""
HEALTHY = "healthy"
HOSTILE = "hostile"
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


@dataclass(frozen=True, slots=True)
class _Group:
    """The servers of one process."""

    process: Process
    base_urls: Sequence[str]

    async def streams(self) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"\n")
        return int(await self.process.stdout.readline())


class SoakServers:
    """Servers in other processes."""

    def __init__(self, groups: Sequence[_Group]) -> None:
        self.base_urls = [url for group in groups for url in group.base_urls]
        self._groups = groups

    async def streams(self) -> int:
        """Returns how many replies are being sent; cancelled clients must leave none."""
        return sum(await asyncio.gather(*(group.streams() for group in self._groups)))


@asynccontextmanager
async def start_servers(*groups: Sequence[str]) -> AsyncIterator[SoakServers]:
    """Starts a process for each group of servers."""
    async with AsyncExitStack() as stack:
        yield SoakServers([await stack.enter_async_context(_start(names)) for names in groups])


@asynccontextmanager
async def _start(names: Sequence[str]) -> AsyncIterator[_Group]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, *names, stdin=PIPE, stdout=PIPE, cwd=_ROOT
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        urls = [(await process.stdout.readline()).decode().strip() for _ in names]
        yield _Group(process, urls)
    finally:
        process.stdin.close()
        await process.wait()


def _behaviour(server: FaultyServer, name: str, place: int) -> Behaviour:
    def fail_at_random(number: int) -> Script:
        question = server.requests[number].messages[-1]["role"] == "user"
        return draw_reply(name, number, question=question, place=place)

    match name:
        case "healthy":
            return Script(
                words=_WORDS, first_token_after=PRIMARY_FIRST_WORD, gap=GAP, continues=True
            )
        case "hostile":
            return next_attack
    return fail_at_random


def _open_streams(server: FaultyServer) -> int:
    return sum(not one.is_finished and one.disconnected_at is None for one in server.requests)


async def _serve(names: Sequence[str]) -> None:
    if HOSTILE in names:
        # The processor that an attacker uses is not the router's cost.
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.nice(19)
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(FaultyServer()) for _ in names]
        for place, (server, name) in enumerate(zip(servers, names, strict=True)):
            await server.behave(_behaviour(server, name, place))
            print(server.base_url, flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(sum(map(_open_streams, servers)), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1:]))
