"""Adds calls to a worker until its answers come late or lose sound, and measures each step."""

import asyncio
import math
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.capacity.bare_worker import MODEL_URL, UP
from bench.capacity.figures import CALLERS, HTTP, MEDIA, SPEECH, WORKER, Ramp, Step, Turn, Use
from bench.report.command import Progress
from bench.report.processes import memory_of, work_of
from deploy import paths
from deploy.supervisor import Service, ServiceError, Supervisor
from llm_router.testing.server import Script
from tests.voice.caller import VOICES, Caller, longest_pause, sentence
from tests.voice.replies import words
from tests.voice.stack import LOGS, VoiceStack, more_workers, running_stack
from tests.voice.stack_processes import processes_of

ANSWER = "We open at nine, every day."
FIRST_TOKEN = 0.15
"""Seconds to the model's first token."""
PERIOD = 7.0
"""Seconds from one question of a caller to the next; callers begin one after another within it."""
_SENTENCES = ("what_time", "parking", "my_bill", "book_appointment")
_TURNS = 2
"""Turns of each caller in a step."""
_FIRST_TURNS = 4
"""Turns of the only caller of the first step, by which all others are judged."""
_HANG_UP_AFTER = 8.0
_STARTING = 3.0
"""Seconds for which a process that has started may wait for others before it begins to load."""
_IDLE = 0.2
"""Cores that a process takes at most while it waits for a call."""
_AT_REST = 4
"""Times in a row that the youngest process must be found at rest."""
_COMMANDS = {
    b"agent.speech.process": SPEECH,
    b"livekit-server": MEDIA,
    b"agent.api": HTTP,
}
_POLL = 0.5


@dataclass(frozen=True, slots=True)
class Contender:
    """A worker to measure: `running` starts it beside a stack and yields the stack with it."""

    title: str
    running: Callable[[VoiceStack], AbstractAsyncContextManager[VoiceStack]]


@asynccontextmanager
async def _ours(stack: VoiceStack) -> AsyncIterator[VoiceStack]:
    async with more_workers(stack, 1):
        yield stack


@asynccontextmanager
async def _bare(stack: VoiceStack) -> AsyncIterator[VoiceStack]:
    bare = replace(
        stack, settings={**stack.settings, "AGENT_NAME": f"{stack.settings['AGENT_NAME']}-bare"}
    )
    environ = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ},
        "PYTHONPATH": str(paths.ROOT),
        **bare.settings,
        "WORKER_IDLE_PROCESSES": "1",
        MODEL_URL: stack.first.base_url,
    }
    with TemporaryDirectory(prefix="bare-worker-") as folder:
        service = Service(
            "Bare worker",
            ("env", "-C", folder, sys.executable, "-m", "bench.capacity.bare_worker"),
            _is_up,
            environ,
            ready_within=180,
        )
        processes = Supervisor(LOGS)
        try:
            await processes.start(service)
            yield bare
        finally:
            await processes.stop()


def _is_up(log: Path) -> bool:
    text = log.read_text(encoding="utf-8", errors="replace")
    return all(words in text for words in UP)


CONTENDERS = (Contender("Patchbay", _ours), Contender("bare LiveKit worker", _bare))


async def measure_ramps(most: int, progress: Progress) -> Sequence[Ramp]:
    """Measures both workers, one after the other, with the same servers and callers."""
    with TemporaryDirectory(prefix="capacity-") as folder:
        async with running_stack(Path(folder), WORKER="off") as stack:
            await stack.behave(Script(words=words(ANSWER), first_token_after=FIRST_TOKEN, gap=0.02))
            ramps = []
            for contender in CONTENDERS:
                progress(f"{contender.title}: starting")
                async with contender.running(stack) as worker:
                    ramps.append(await _ramp(contender.title, worker, most, progress))
            return ramps


async def _ramp(title: str, stack: VoiceStack, most: int, progress: Progress) -> Ramp:
    await _settle(stack)
    idle = _workers_memory(_use(stack))
    steps: list[Step] = []
    async with AsyncExitStack() as calls:
        callers: list[Caller] = []
        while len(callers) < most:
            progress(f"{title}: call {len(callers) + 1} joins")
            try:
                callers.append(await calls.enter_async_context(stack.call()))
            except AssertionError as error:
                if not steps:
                    message = f"{title}: the first call was not answered. {error}. Logs: {LOGS}"
                    raise ServiceError(message) from error
                steps.append(_unanswered(steps[-1]))
                break
            await _settle(stack)
            progress(f"{title}: {len(callers)} calls at once")
            steps.append(await _step(stack, callers))
            if Ramp(title=title, idle=idle, steps=steps).is_past_knee:
                break
        return Ramp(title=title, idle=idle, steps=steps)


def _unanswered(last: Step) -> Step:
    """Returns the step in which the call that came after those of `last` had no answer."""
    return replace(last, calls=last.calls + 1, turns=[Turn(math.inf, 0.0)])


async def _step(stack: VoiceStack, callers: Sequence[Caller]) -> Step:
    """Lets every caller ask in turn, and measures what that takes."""
    loop = asyncio.get_running_loop()
    turns = _FIRST_TURNS if len(callers) == 1 else _TURNS
    before, began = _use(stack), loop.time()
    taken = await asyncio.gather(
        *(
            _ask(caller, number, began + number * PERIOD / len(callers), turns)
            for number, caller in enumerate(callers)
        )
    )
    after, lasted = _use(stack), loop.time() - began
    minutes = lasted * len(callers) / 60
    return Step(
        calls=len(callers),
        turns=[turn for own in taken for turn in own],
        processor={
            name: (use.processor - before.get(name, Use(0, 0)).processor) / minutes
            for name, use in after.items()
        },
        memory={name: use.memory for name, use in after.items() if name in (WORKER, SPEECH)},
    )


async def _ask(caller: Caller, number: int, begin: float, turns: int) -> list[Turn]:
    loop = asyncio.get_running_loop()
    found = []
    for turn in range(turns):
        await asyncio.sleep(max(0.0, begin + turn * PERIOD - loop.time()))
        said = sentence(_SENTENCES[(number + turn) % len(_SENTENCES)])
        samples = await asyncio.to_thread(said.spoken_by, VOICES[number % len(VOICES)])
        found.append(await _take(caller, await caller.play(samples)))
    await asyncio.sleep(max(0.0, begin + turns * PERIOD - loop.time()))
    return found


async def _take(caller: Caller, asked: float) -> Turn:
    """Waits for the answer to a question that has ended at `asked`."""
    try:
        first = await caller.wait_until(lambda me: me.first_sound(asked), _HANG_UP_AFTER)
        await caller.wait_for_silence()
    except AssertionError:  # it never came
        return Turn(math.inf, 0.0)
    return Turn(first - asked, longest_pause(caller.sound(asked)))


# ── Processes ────────────────────────────────────────────────────────────────────────────────────


def _use(stack: VoiceStack) -> Mapping[str, Use]:
    """Returns the use of each program; the callers and the model server are this process."""
    found = {os.getpid(): CALLERS}
    for process, command in processes_of(stack).items():
        found[process] = next((name for part, name in _COMMANDS.items() if part in command), WORKER)
    used: dict[str, Use] = {}
    for process, name in found.items():
        so_far = used.get(name, Use(0.0, 0.0))
        with suppress(OSError):  # it has just ended
            memory = memory_of(process).share
            used[name] = Use(so_far.processor + _work(process), so_far.memory + memory)
    return used


def _workers_memory(use: Mapping[str, Use]) -> float:
    return sum(one.memory for name, one in use.items() if name in (WORKER, SPEECH))


async def _settle(stack: VoiceStack) -> None:
    """Waits until the process for the next call has started, which takes the processor."""
    at_rest = 0
    while at_rest < _AT_REST:
        youngest = min(processes_of(stack), key=_age)
        before = _work(youngest)
        await asyncio.sleep(_POLL)
        is_at_rest = _age(youngest) > _STARTING and _work(youngest) - before < _POLL * _IDLE
        at_rest = at_rest + 1 if is_at_rest else 0


def _work(process: int) -> float:
    try:
        return work_of(process)
    except OSError:  # it has just ended
        return 0.0


def _age(process: int) -> float:
    """Returns for how long a process has run (s); infinity once it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.inf
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
