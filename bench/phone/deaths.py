"""Measures for how long a caller receives nothing when their agent dies in a call by telephone."""

import math
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from bench.phone.figures import Death
from bench.report.command import Progress
from llm_router.testing.server import Script
from tests.phone.softphone import Softphone
from tests.phone.stack import PhoneStack, running_phone_stack
from tests.phone.transferring import asking_for, phrase
from tests.voice.caller import sentence
from tests.voice.replies import words
from tests.voice.stack import more_workers
from tests.voice.stack_processes import answering, kill, own_worker

_COUNT = (
    "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen twenty."
)
_DIES_AFTER = 4
"""Words of the reply that the caller has received by then."""
_SILENT = 0.8  # s


async def measure_deaths(times: int, progress: Progress) -> list[Death]:
    """Lets a call's process, a worker, and a worker in the middle of a transfer die."""
    process, worker, transfer = list[float](), list[float](), list[float]()
    for number in range(times):
        progress(f"deaths {number + 1} of {times}")
        async with _stack() as stack:
            process.append(await _in_reply(stack, _kill_process))
            async with stack.call() as phone:
                await phone.wait_until_silent()
                async with more_workers(stack.voice, 1):
                    worker.append(await _dying(phone, stack, _kill_worker))
        async with _stack() as stack, stack.person() as person:
            transfer.append(await _in_transfer(stack, person))
    return [
        Death(title="the call's process is killed in a reply", silences=process),
        Death(title="the worker is killed in a reply, another is there", silences=worker),
        Death(title="the worker is killed in a transfer, another is there", silences=transfer),
    ]


@asynccontextmanager
async def _stack() -> AsyncIterator[PhoneStack]:
    with tempfile.TemporaryDirectory() as folder:
        async with running_phone_stack(Path(folder)) as stack:
            yield stack


async def _in_reply(stack: PhoneStack, die: Callable[[PhoneStack], None]) -> float:
    async with stack.call() as phone:
        await phone.wait_until_silent()
        return await _dying(phone, stack, die)


async def _dying(phone: Softphone, stack: PhoneStack, die: Callable[[PhoneStack], None]) -> float:
    """Asks for a long reply and lets its agent die; returns the longest silence after that (s)."""
    await stack.voice.behave(Script(words=words(_COUNT), first_token_after=0.15, continues=True))
    asked = await phone.say(sentence("what_time"))
    await phone.wait_until(lambda me: len(me.words(_COUNT, since=asked)) > _DIES_AFTER)
    died = phone.seconds()
    die(stack)
    try:
        await phone.wait_until(lambda me: "twenty" in me.words(_COUNT, since=asked), 60)
    except AssertionError:
        return math.inf
    return phone.longest_silence(died, phone.seconds() - _SILENT)


async def _in_transfer(stack: PhoneStack, person: Softphone) -> float:
    async with asking_for(stack, "Mara") as call, more_workers(stack.voice, 1):
        await person.accept()
        await person.wait_until(lambda me: me.first_sound())
        died = call.caller.seconds()
        _kill_worker(stack)
        await call.receives(phrase("cut"))
        end = await call.caller.wait_until_silent(_SILENT, since=died)
        return call.caller.longest_silence(died, end)


def _kill_process(stack: PhoneStack) -> None:
    for process in answering(stack.voice):
        kill(process)


def _kill_worker(stack: PhoneStack) -> None:
    kill(own_worker(stack.voice))
