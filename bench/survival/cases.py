"""Lets agents die in calls of a real stack, and records what the callers receive."""

import asyncio
import math
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from livekit import rtc

from bench.report.command import Progress
from bench.survival.figures import (
    NUMBERS,
    Case,
    CaseRow,
    Outcome,
    longest_silence,
    received_once,
)
from llm_router.testing.server import Script
from tests.contracts.byte_server import ByteServer
from tests.voice.caller import AUDIBLE, Caller
from tests.voice.replies import BOOKING, insisting, words
from tests.voice.stack import VoiceStack, more_workers, running_stack
from tests.voice.stack_processes import answering, kill, leave, page_process, stop

REPLY = " ".join(NUMBERS).capitalize() + "."
_DIES_AT = NUMBERS[6]
_RECOVERS_WITHIN = 60.0
_TOGETHER = 10
"""Calls on the worker that dies with all of them."""
_SPARE_ITS_WORKER = ("process", "hung", "tool")
"""Cases in which the worker stays, so that one stack serves all calls."""
_ONCE = ("crowd", "alone")
"""Cases that last long, or have many calls."""
_SHOP = "shop"
_AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT


@dataclass(frozen=True, slots=True)
class Dying:
    """The processes of a call: its own, and its worker's."""

    call: int
    worker: int


Death = Callable[[VoiceStack, Dying], None]


def _kill_all(stack: VoiceStack, dying: Dying) -> None:
    kill(page_process(stack))
    kill(dying.worker)


CASES: dict[str, tuple[Case, Death]] = {
    "process": (
        Case(title="the call's process is killed", limit=4.0),
        lambda _, dying: kill(dying.call),
    ),
    "hung": (
        Case(title="the call's process hangs", limit=6.5),
        lambda _, dying: stop(dying.call),
    ),
    "tool": (
        Case(title="the call's process is killed while a tool runs", limit=4.0, has_tool=True),
        lambda _, dying: kill(dying.call),
    ),
    "worker": (
        Case(title="the worker is killed, another is there", limit=6.0),
        lambda _, dying: kill(dying.worker),
    ),
    "crowd": (
        Case(title="the worker is killed with ten calls", limit=8.0),
        lambda _, dying: kill(dying.worker),
    ),
    "leader": (
        Case(title="worker and HTTP process are killed together", limit=6.0),
        _kill_all,
    ),
    "leaving": (
        Case(title="the worker hands its calls over"),
        lambda _, dying: leave(dying.worker),
    ),
    "alone": (
        Case(title="the only worker is killed", limit=20.0, loses_words=True),
        lambda _, dying: kill(dying.worker),
    ),
}


async def measure(names: Sequence[str], times: int, progress: Progress) -> Sequence[CaseRow]:
    """Measures each case. Where a worker dies each time, a stack is started for each."""
    outcomes: dict[str, list[Outcome]] = {name: [] for name in names}

    async def measure_one(stack: VoiceStack, name: str) -> None:
        progress(f"{CASES[name][0].title}: {len(outcomes[name]) + 1}")
        outcomes[name] += await _calls(stack, name)

    if spared := [name for name in names if name in _SPARE_ITS_WORKER]:
        async with _stack() as stack:
            for name in spared * times:
                await measure_one(stack, name)
    for name in names:
        if name not in spared:
            for _ in range(1 if name in _ONCE else max(1, times // 2)):
                async with _stack() as stack:
                    await measure_one(stack, name)
    return [CaseRow(case=CASES[name][0], outcomes=outcomes[name]) for name in names]


@asynccontextmanager
async def _stack() -> AsyncIterator[VoiceStack]:
    with tempfile.TemporaryDirectory() as folder:
        async with running_stack(Path(folder)) as stack:
            yield stack


async def _calls(stack: VoiceStack, name: str) -> Sequence[Outcome]:
    """Makes the calls of one death; returns what became of each."""
    if name == "tool":
        return [await _tool_call(stack)]
    await stack.behave(Script(words=words(REPLY), gap=0.02))
    async with AsyncExitStack() as opened:
        number = _TOGETHER if name == "crowd" else 1
        callers = [
            await opened.enter_async_context(stack.call(microphone=False)) for _ in range(number)
        ]
        if name not in {*_SPARE_ITS_WORKER, "alone"}:  # the calls are on the first worker already
            await opened.enter_async_context(more_workers(stack, 1))
        calls = [_Call.begin(caller) for caller in callers]
        await asyncio.gather(*(each.ask(_counted_to_seven) for each in calls))
        return await _die(stack, calls, CASES[name][1])


def _counted_to_seven(call: "_Call") -> bool:
    return _DIES_AT in call.caller.words(call.asked)


async def _tool_call(stack: VoiceStack) -> Outcome:
    """Makes a call that dies while its tool runs, which never answers."""
    servers = (stack.first, stack.spare)
    reply = Script(words=words(REPLY), gap=0.02)
    await stack.behave(*(insisting(each, BOOKING["name"], "{}", reply) for each in servers))
    async with ByteServer(lambda _: "silence") as shop:
        tool = {**BOOKING, "url": f"{shop.root}/tables"}
        await stack.manage("POST", "/assistants", {"name": _SHOP, "http_tools": [tool]})
        async with stack.call(microphone=False, assistant=_SHOP) as caller:
            call = _Call.begin(caller)
            await call.ask(lambda _: shop.asked)
            [outcome] = await _die(stack, [call], CASES["tool"][1])
        await stack.manage("DELETE", f"/assistants/{_SHOP}")
        return replace(outcome, runs=len(shop.asked))


async def _die(stack: VoiceStack, calls: Sequence["_Call"], death: Death) -> Sequence[Outcome]:
    process, worker = next(iter(answering(stack).items()))
    died = asyncio.get_running_loop().time()
    death(stack, Dying(process, worker))
    return await asyncio.gather(*(call.outcome(died) for call in calls))


@dataclass
class _Call:
    """One call. `counts`: the agents that were in the room, counted whenever one joined."""

    caller: Caller
    counts: list[int]
    asked: float = 0.0

    @classmethod
    def begin(cls, caller: Caller) -> Self:
        call = cls(caller, [1])
        caller.room.on("participant_connected", lambda _: call.counts.append(len(call.agents())))
        return call

    def agents(self) -> Sequence[str]:
        people = self.caller.room.remote_participants.values()
        return [one.identity for one in people if one.kind == _AGENT]

    async def ask(self, has_begun: Callable[["_Call"], object]) -> None:
        """Asks, and waits until the moment has come at which the agent dies."""
        self.asked = asyncio.get_running_loop().time()
        await self.caller.type("Count to twenty.", listens=True)
        await self.caller.wait_until(lambda _: has_begun(self), _RECOVERS_WITHIN)

    def _has_ended(self) -> bool:
        is_open = self.caller.room.isconnected()
        return not is_open or self.caller.words(self.asked)[-1:] == ["twenty."]

    async def outcome(self, died: float) -> Outcome:
        caller = self.caller
        with suppress(AssertionError):  # nobody goes on with it
            await caller.wait_until(lambda _: self._has_ended(), _RECOVERS_WITHIN)
            if caller.room.isconnected():
                await caller.wait_for_silence()
        frames = [frame for frame in caller.frames if frame.at > self.asked]
        audible = [frame.at for frame in frames if frame.rms > AUDIBLE]
        doubled, lost = received_once(caller.words(self.asked))
        left = len(self.agents()) if caller.room.isconnected() else 0
        return Outcome(
            silence=longest_silence(audible, died, audible[-1] if audible else math.inf),
            doubled=doubled,
            lost=lost,
            agents=max(self.counts),
            left_over=max(0, left - 1),
        )
