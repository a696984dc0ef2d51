"""Lets agents die in calls of a real stack, and records what the callers receive."""

import asyncio
import math
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from livekit import rtc

from agent.receptionist.presence import is_receptionist
from bench.report.command import Progress
from bench.survival.figures import (
    MANY_NUMBERS,
    NUMBERS,
    Case,
    CaseRow,
    Outcome,
    longest_silence,
    received_once,
    reply_of,
    time_together,
)
from llm_router.testing.server import Script
from tests.contracts.byte_server import ByteServer
from tests.voice.caller import AUDIBLE, Caller
from tests.voice.replies import BOOKING, insisting, words
from tests.voice.stack import GREETING, LOGS, VoiceStack, more_workers, running_stack
from tests.voice.stack_processes import (
    answering,
    kill,
    leave,
    media_server_anew,
    page_process,
    stop,
)

_DIES_AT = NUMBERS[6]
_RECOVERS_WITHIN = 60.0
_TOGETHER = 10
"""Calls on the worker that dies with all of them."""
_AT_THE_DOOR = 3
_READY = "the receptionist has its"
"""Line of a worker's log: its receptionist can speak."""
_SPARE_ITS_WORKER = ("process", "hung", "tool")
"""Cases in which the worker stays, so that one stack serves all calls."""
_ONCE = ("crowd", "machine", "server", "alone", "door")
"""Cases that last long, or have many calls."""
_CROWDS = ("crowd", "machine")
_SETTINGS: Mapping[str, Mapping[str, str]] = {
    "door": {"WORKER_IDLE_PROCESSES": "1"},
    "leaving": {"WORKER_DRAIN_TIMEOUT": "60"},  # the call moves at the end of a turn
}
_POLL = 0.1
_SHOP = "shop"
_AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT


@dataclass(frozen=True, slots=True)
class Dying:
    """The processes of a call: its own, and its worker's."""

    call: int
    worker: int


Death = Callable[[VoiceStack, Dying], None]


def _kill_machine(stack: VoiceStack, dying: Dying) -> None:
    """Kills a worker with all its processes at once, as a container dies."""
    for process in (dying.worker, *answering(stack)):
        kill(process)


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
        Case(title="the worker is killed with ten calls", limit=4.0),
        lambda _, dying: kill(dying.worker),
    ),
    "machine": (
        Case(title="the worker and its ten calls are killed at once", limit=6.0, may_repeat=3),
        _kill_machine,
    ),
    "leader": (
        Case(title="worker and HTTP process are killed together", limit=6.0),
        _kill_all,
    ),
    "leaving": (
        Case(title="the worker hands its calls over"),
        lambda _, dying: leave(dying.worker),
    ),
    "server": (
        Case(title="livekit-server is killed and started again", limit=6.0),
        lambda *_: None,  # by the case itself, which starts it again
    ),
    "alone": (
        Case(title="the only worker is killed", limit=20.0, loses_words=True),
        lambda _, dying: kill(dying.worker),
    ),
    "door": (
        Case(title="three callers come at once, one process is idle", limit=1.5),
        lambda *_: None,
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
                await _wait_for_last_call_to_end(stack)
                await measure_one(stack, name)
    for name in names:
        if name not in spared:
            for _ in range(1 if name in _ONCE else max(1, times // 2)):
                async with _stack(**_SETTINGS.get(name, {})) as stack:
                    await measure_one(stack, name)
    return [CaseRow(case=CASES[name][0], outcomes=outcomes[name]) for name in names]


async def _wait_for_last_call_to_end(stack: VoiceStack) -> None:
    """Waits until no process answers a call: that of an earlier caller must not be taken for one
    that is to die.
    """
    while answering(stack):  # noqa: ASYNC110  another process's end has no event
        await asyncio.sleep(_POLL)


@asynccontextmanager
async def _stack(**settings: str) -> AsyncIterator[VoiceStack]:
    with tempfile.TemporaryDirectory() as folder:
        async with running_stack(Path(folder), **settings) as stack:
            yield stack


async def _calls(stack: VoiceStack, name: str) -> Sequence[Outcome]:
    """Makes the calls of one death; returns what became of each."""
    if name == "tool":
        return [await _tool_call(stack)]
    if name == "door":
        return await _come_together(stack)
    if name == "server":
        return [await _server_call(stack)]
    is_crowd = name in _CROWDS
    numbers = MANY_NUMBERS if is_crowd else NUMBERS
    # A pause between words on this busy machine would be taken for a model that stalls.
    gap = 0.0 if is_crowd else 0.02
    await stack.behave(Script(words=words(reply_of(numbers)), gap=gap))
    async with AsyncExitStack() as opened:
        callers = [
            await opened.enter_async_context(stack.call(microphone=False))
            for _ in range(_TOGETHER if is_crowd else 1)
        ]
        if name not in {*_SPARE_ITS_WORKER, "alone"}:  # the calls are on the first worker already
            await opened.enter_async_context(more_workers(stack, 1))
            await _wait_for_line(LOGS / "more_workers" / "worker-0.log")
        calls = [_Call.begin(caller, numbers) for caller in callers]
        await asyncio.gather(*(each.ask(_counted_to_seven) for each in calls))
        return await _die(stack, calls, CASES[name][1])


async def _server_call(stack: VoiceStack) -> Outcome:
    """Makes a call whose media server dies and is there again after two seconds."""
    await stack.behave(Script(words=words(reply_of(NUMBERS)), gap=0.02))
    async with stack.call(microphone=False) as caller:
        call = _Call.begin(caller)
        await call.ask(_counted_to_seven)
        async with media_server_anew(stack, after=2.0) as died:
            return await call.outcome(died)


async def _come_together(stack: VoiceStack) -> Sequence[Outcome]:
    """Lets callers come at once; returns how long each waits for the first sound."""
    await _wait_for_line(LOGS / "worker.log")
    loop = asyncio.get_running_loop()

    async def come(room: str) -> Outcome:
        async with stack.server() as livekit:
            await livekit.open_room(room, stack.settings["AGENT_NAME"], join_within=60)
        came = loop.time()
        async with stack.join(room) as caller:
            with suppress(AssertionError):  # never: see the outcome
                await caller.wait_until(lambda me: me.transcript(by_agent=True) == GREETING, 60)
                await caller.wait_for_silence()
            first = caller.first_sound(came)
            return Outcome(
                silence=math.inf if first is None else first - came,
                together=time_together(caller.audible_times(came)),
            )

    return await asyncio.gather(*(come(f"door-{number}") for number in range(_AT_THE_DOOR)))


async def _wait_for_line(log: Path) -> None:
    """Waits until the receptionist of the worker with this log can speak."""
    async with asyncio.timeout(_RECOVERS_WITHIN):
        while _READY not in await asyncio.to_thread(log.read_text):  # noqa: ASYNC110  a log has no event
            await asyncio.sleep(0.2)


def _counted_to_seven(call: "_Call") -> bool:
    return _DIES_AT in call.caller.words(call.asked)


async def _tool_call(stack: VoiceStack) -> Outcome:
    """Makes a call that dies while its tool runs, which never answers."""
    servers = (stack.first, stack.spare)
    reply = Script(words=words(reply_of(NUMBERS)), gap=0.02)
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
    """One call. `counts`: the agents that were in the room, counted whenever one joined.

    `numbers`: the words of the reply.
    """

    caller: Caller
    counts: list[int]
    numbers: Sequence[str]
    asked: float = 0.0

    @classmethod
    def begin(cls, caller: Caller, numbers: Sequence[str] = NUMBERS) -> Self:
        call = cls(caller, [1], numbers)
        caller.room.on("participant_connected", lambda _: call.counts.append(len(call.agents())))
        return call

    def agents(self) -> Sequence[str]:
        people = self.caller.room.remote_participants.values()
        agents = [one for one in people if one.kind == _AGENT and not is_receptionist(one)]
        return [one.identity for one in agents]

    async def ask(self, has_begun: Callable[["_Call"], object]) -> None:
        """Asks, and waits until the moment has come at which the agent dies."""
        self.asked = asyncio.get_running_loop().time()
        await self.caller.type("Count to twenty.", listens=True)
        await self.caller.wait_until(lambda _: has_begun(self), _RECOVERS_WITHIN)

    def _has_ended(self) -> bool:
        is_open = self.caller.room.isconnected()
        return not is_open or self.caller.words(self.asked)[-1:] == [f"{self.numbers[-1]}."]

    async def outcome(self, died: float) -> Outcome:
        caller = self.caller
        with suppress(AssertionError):  # nobody goes on with it
            await caller.wait_until(lambda _: self._has_ended(), _RECOVERS_WITHIN)
            if caller.room.isconnected():
                await caller.wait_for_silence()
        frames = [frame for frame in caller.frames if frame.at > self.asked]
        audible = [frame.at for frame in frames if frame.rms > AUDIBLE]
        doubled, lost = received_once(caller.words(self.asked), self.numbers)
        left = len(self.agents()) if caller.room.isconnected() else 0
        return Outcome(
            silence=longest_silence(audible, died, audible[-1] if audible else math.inf),
            doubled=doubled,
            lost=lost,
            together=time_together(caller.audible_times(died)),
            agents=max(self.counts),
            left_over=max(0, left - 1),
        )
