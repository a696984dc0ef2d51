"""Calls in which the first of two model servers fails: the wait for the answer, and its quality."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.report.command import Progress
from bench.report.goals import Goal
from bench.report.quantiles import quantile
from bench.voice.calls import HANG_UP_AFTER, Call, Exchange
from bench.voice.turns import Turn
from bench.voice.variants import OURS_FAILING, STOCK_FAILING, Variant
from tests.voice.caller import longest_pause
from tests.voice.replies import FAILURE_CASES, REPLY

_POLL_INTERVAL = 0.05  # s
SLOW = 0.95
"""The quantile of the waits of all faults together that has a limit."""
LONGEST_WAIT = 1.30  # s
LONGEST_PAUSE = 0.70  # s


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to one turn. `pause`: the longest time without a sound within it (s). `whole`:
    every word came, once, by the transcript.
    """

    turn: Turn
    pause: float
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FailingRow:
    """The answers with one fault; `failing` is its name in FAILURE_CASES."""

    failing: str
    variant: Variant
    answers: Sequence[Answer]

    def wait(self, q: float) -> float:
        return wait_of([self], q)

    @property
    def pause(self) -> float:
        """The longest pause (s); infinity if no answer was whole."""
        return max((answer.pause for answer in self.answers if answer.whole), default=math.inf)

    @property
    def whole(self) -> int:
        return sum(answer.whole for answer in self.answers)


def wait_of(rows: Sequence[FailingRow], q: float) -> float:
    """Returns a quantile of the waits of all rows together; NaN if the agent talked over the caller
    every time.
    """
    turns = [answer.turn for row in rows for answer in row.answers]
    waits = [turn.wait for turn in turns if not turn.talked_over]
    return quantile(waits, q) if waits else math.nan


async def measure_failing(
    exchange: Exchange, turns: int, progress: Progress
) -> Sequence[FailingRow]:
    """Takes so many turns of each fault with our settings, and about half as many with LiveKit's,
    which take longer. Each is the first of its call, before anything is known of the servers.
    """
    answers: Mapping[tuple[str, Variant], list[Answer]] = {
        (failing, variant): []
        for failing in FAILURE_CASES
        for variant in (OURS_FAILING, STOCK_FAILING)
    }
    for number in range(turns):
        for (failing, variant), done in answers.items():
            if variant.stock and 2 * len(done) >= turns:
                continue
            progress(
                f"{variant.title}, the model {FAILURE_CASES[failing].title}: turn {number + 1}"
            )
            async with exchange.call(variant) as call:
                await FAILURE_CASES[failing].apply(exchange.model, exchange.spare)
                done.append(await _take_turn(call, number))
    return [
        FailingRow(failing=failing, variant=variant, answers=done)
        for (failing, variant), done in answers.items()
        if done
    ]


async def _take_turn(call: Call, number: int) -> Answer:
    caller = call.caller
    loop = asyncio.get_running_loop()
    spoken = await call.say(number)

    def is_whole() -> bool:
        return caller.transcript(by_agent=True, since=spoken.began) == REPLY

    last_sound = spoken.ended
    while not is_whole() and loop.time() < last_sound + HANG_UP_AFTER:
        await asyncio.sleep(_POLL_INTERVAL)
        if sound := caller.sound(spoken.ended):
            last_sound = sound[-1].at
    if is_whole():
        await caller.wait_for_silence()
    pause = longest_pause(caller.sound(spoken.ended))
    return Answer(turn=spoken.turn, pause=pause, whole=is_whole())


def failing_goals(rows: Sequence[FailingRow]) -> list[Goal]:
    """Returns the goals of our settings, each miss with its fault; none if nothing was measured."""
    ours = [row for row in rows if row.variant == OURS_FAILING]
    if not ours:
        return []
    worst = FAILURE_CASES[max(ours, key=lambda row: row.wait(SLOW)).failing].title
    hint = f"longest when it {worst}"
    goals = [Goal("p95 with a failing model", wait_of(ours, SLOW), LONGEST_WAIT, "s", hint=hint)]
    for row in ours:
        title = FAILURE_CASES[row.failing].title
        broken = len(row.answers) - row.whole
        goals.append(Goal(f"broken answers when the model {title}", broken, 0, form="g"))
        if not broken:
            name = f"longest pause when the model {title}"
            goals.append(Goal(name, row.pause, LONGEST_PAUSE, "s"))
    return goals
