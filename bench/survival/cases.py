"""Lets agents die in calls of a real stack, and records what the callers receive."""

import asyncio
import math
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

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
from tests.voice.caller import AUDIBLE, Caller
from tests.voice.replies import words
from tests.voice.stack import VoiceStack, more_workers, running_stack
from tests.voice.stack_processes import answering, kill, leave, page_process, stop

REPLY = " ".join(NUMBERS).capitalize() + "."
_DIES_AT = NUMBERS[6]
_RECOVERS_WITHIN = 60.0
_TOGETHER = 10
"""Calls on the worker that dies with all of them."""
_SPARE_ITS_WORKER = ("process", "hung")
"""Cases in which the worker stays, so that one stack serves all calls."""
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
        Case(title="the only worker is killed", loses_words=True),
        lambda _, dying: kill(dying.worker),
    ),
}


async def measure(names: Sequence[str], times: int, progress: Progress) -> Sequence[CaseRow]:
    """Measures each case. Where a worker dies each time, a stack is started for each."""
    rows = []
    for name in names:
        case, death = CASES[name]
        outcomes: list[Outcome] = []
        while len(outcomes) < (times if name in _SPARE_ITS_WORKER else max(1, times // 2)):
            with tempfile.TemporaryDirectory() as folder:
                async with running_stack(Path(folder)) as stack:
                    left = times - len(outcomes) if name in _SPARE_ITS_WORKER else 1
                    for _ in range(left):
                        progress(f"{case.title}: {len(outcomes) + 1}")
                        outcomes += await _calls(stack, name, death)
        rows.append(CaseRow(case=case, outcomes=outcomes))
    return rows


async def _calls(stack: VoiceStack, name: str, death: Death) -> Sequence[Outcome]:
    """Makes the calls of one death; returns what became of each."""
    await stack.behave(Script(words=words(REPLY), gap=0.02))
    async with AsyncExitStack() as opened:
        number = _TOGETHER if name == "crowd" else 1
        callers = [
            await opened.enter_async_context(stack.call(microphone=False)) for _ in range(number)
        ]
        if name not in {*_SPARE_ITS_WORKER, "alone"}:  # the calls are on the first worker already
            await opened.enter_async_context(more_workers(stack, 1))
        return await _die(stack, callers, death)


async def _die(stack: VoiceStack, callers: Sequence[Caller], death: Death) -> Sequence[Outcome]:
    loop = asyncio.get_running_loop()
    most = [[1] for _ in callers]
    for caller, counts in zip(callers, most, strict=True):
        caller.room.on("participant_connected", partial(_count, caller, counts))
    asked = loop.time()
    await asyncio.gather(*(caller.type("Count to twenty.") for caller in callers))
    await asyncio.gather(
        *(caller.wait_until(lambda me: _DIES_AT in me.words(asked)) for caller in callers)
    )
    call, worker = next(iter(answering(stack).items()))
    died = loop.time()
    death(stack, Dying(call, worker))
    return await asyncio.gather(
        *(_outcome(*each, asked, died) for each in zip(callers, most, strict=True))
    )


def _count(caller: Caller, counts: list[int], _: object) -> None:
    counts.append(_agents(caller))


async def _outcome(caller: Caller, counts: Sequence[int], asked: float, died: float) -> Outcome:
    with suppress(AssertionError):  # nobody goes on with it
        await caller.wait_until(lambda me: me.words(asked)[-1] == "twenty.", _RECOVERS_WITHIN)
        await caller.wait_for_silence()
    audible = [frame.at for frame in caller.frames if frame.at > asked and frame.rms > AUDIBLE]
    doubled, lost = received_once(caller.words(asked))
    return Outcome(
        silence=longest_silence(audible, died, audible[-1] if audible else math.inf),
        doubled=doubled,
        lost=lost,
        agents=max(counts),
        left_over=max(0, _agents(caller) - 1),
    )


def _agents(caller: Caller) -> int:
    return sum(one.kind == _AGENT for one in caller.room.remote_participants.values())
