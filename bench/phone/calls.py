"""Makes calls to a running telephone stack, and measures them."""

import asyncio
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from bench.phone.figures import Cost, PhoneCall, PhoneSet
from bench.report.command import Progress
from bench.report.processes import children, memory_of, work_of
from llm_router.testing.server import Script
from tests.phone.softphone import Softphone
from tests.phone.stack import LINE, PhoneStack, running_phone_stack
from tests.voice.caller import VOICES, sentence
from tests.voice.replies import words
from tests.voice.stack_processes import processes_of

_ANSWER = "We open at nine in the morning."
_FIRST_WORD = 0.15
_QUESTIONS = ("what_time", "parking", "my_bill")
_REPLY_WITHIN = 10.0
_RESTS = 10.0
"""Seconds for which the worker starts processes in place of those that have answered calls."""
_PROGRAMS = {
    b"livekit-sip": "livekit-sip",
    b"livekit-server": "livekit-server",
    b"agent.speech.process": "speech models",
    b"agent.api": "HTTP process",
    b"agent.worker": "worker",
    b"baresip": "the bench: telephones",
}
"""Programs by a part of their command, the first that fits."""
_CALLS = "the calls' processes"
_BENCH = "the bench: models and recordings"


async def measure(
    calls: int, crowds: Sequence[int], lasts: float, progress: Progress
) -> tuple[PhoneSet, Sequence[PhoneSet]]:
    """Makes calls one after another, and then each of these numbers of calls at once, which last
    for so many seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        idle = str(max(crowds))
        async with running_phone_stack(Path(folder), WORKER_IDLE_PROCESSES=idle) as stack:
            await stack.voice.behave(Script(words=words(_ANSWER), first_token_after=_FIRST_WORD))
            singles = []
            for number in range(calls):
                progress(f"call {number + 1} of {calls}")
                made, _ = await _calls(stack, 1, 0, VOICES[number % len(VOICES)])
                singles += made
            many = [await _crowd(stack, crowd, lasts, progress) for crowd in crowds]
    return PhoneSet(title="one at a time", calls=singles), many


async def _crowd(stack: PhoneStack, crowd: int, lasts: float, progress: Progress) -> PhoneSet:
    """Makes so many calls at once, on a stack that is at rest before."""
    progress(f"{crowd} calls at once")
    await stack.wait_until_idle()
    await asyncio.sleep(_RESTS)
    before = _use(stack)
    made, use = await _calls(stack, crowd, lasts, VOICES[0])
    return PhoneSet(title=f"{crowd} at once", calls=made, costs=_costs(before, use))


async def _calls(
    stack: PhoneStack, number: int, lasts: float, voice: str
) -> tuple[list[PhoneCall], Mapping[str, tuple[float, float]]]:
    """Makes calls at the same time; returns them, and what is used just before they end."""
    async with AsyncExitStack() as opened:
        phones = [await opened.enter_async_context(stack.phone()) for _ in range(number)]
        made = await asyncio.gather(*(_call(phone, lasts, voice) for phone in phones))
        return made, _use(stack)


async def _call(phone: Softphone, lasts: float, voice: str) -> PhoneCall:
    """Makes one call: a greeting, and questions until it has lasted long enough."""
    loop = asyncio.get_running_loop()
    dialled = loop.time()
    answer = await phone.dial(LINE)
    await phone.wait_until_silent()
    greeted = phone.first_sound()
    replies = list[float]()
    while len(replies) < len(_QUESTIONS) or loop.time() - answer.at < lasts:
        question = _QUESTIONS[len(replies) % len(_QUESTIONS)]
        asked = await phone.say(sentence(question), voice)
        replies.append(await _reply(phone, asked))
    return PhoneCall(
        answered=answer.at - dialled,
        greeted=math.inf if greeted is None else greeted,
        replies=replies,
        lasted=loop.time() - answer.at,
        received=phone.seconds(),
    )


async def _reply(phone: Softphone, asked: float) -> float:
    """Returns the seconds from a question to the first sound after it, and waits for its end.

    A reply that begins in time and is still being spoken ten seconds later has come.
    """
    with suppress(AssertionError):
        await phone.wait_until(lambda me: me.first_sound(asked), _REPLY_WITHIN)
        await phone.wait_until_silent(since=asked)
    first = phone.first_sound(asked)
    return math.inf if first is None else first - asked


def _use(stack: PhoneStack) -> Mapping[str, tuple[float, float]]:
    """Returns the seconds of processor and the megabytes of each program of the stack, and of the
    bench itself, which runs on the same machine.
    """
    used: dict[str, tuple[float, float]] = {}
    telephones = dict.fromkeys(children(), b"baresip")
    for process, command in {**telephones, **processes_of(stack.voice), os.getpid(): b""}.items():
        named = next((name for part, name in _PROGRAMS.items() if part in command), _CALLS)
        program = _BENCH if process == os.getpid() else named
        seconds, memory = used.get(program, (0.0, 0.0))
        with suppress(OSError):  # it has just ended
            used[program] = (seconds + work_of(process), memory + memory_of(process).share)
    return used


def _costs(
    before: Mapping[str, tuple[float, float]], after: Mapping[str, tuple[float, float]]
) -> list[Cost]:
    return [
        Cost(
            program=name,
            processor=seconds - before.get(name, (0, 0))[0],
            memory=memory - before.get(name, (0, 0))[1],
        )
        for name, (seconds, memory) in sorted(after.items())
    ]
