"""Calls in which the first of two model servers fails: how long until the caller hears the answer,
and how well they hear it to its end.
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.first_word.turn import quantile
from bench.voice.calls import HANGS_UP, SENTENCES, Call, Exchange
from bench.voice.turns import Turn
from bench.voice.variants import OURS_FAILING, STOCK_FAILING, Variant
from tests.voice.caller import longest_pause
from tests.voice.replies import FAILINGS, REPLY

_LOOK_EVERY = 0.05  # s


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """`pause`: seconds without a sound within the answer, at most. `whole`: every word came, once,
    by the transcript.
    """

    turn: Turn
    pause: float
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FailingRow:
    """What became of a fault; `failing` is its name in FAILINGS."""

    failing: str
    variant: Variant
    rescues: Sequence[Rescue]

    def wait(self, q: float) -> float:
        return wait([self], q)

    @property
    def pause(self) -> float:
        """The longest; infinity: no answer came to its end."""
        return max((rescue.pause for rescue in self.rescues if rescue.whole), default=math.inf)

    @property
    def whole(self) -> int:
        return sum(rescue.whole for rescue in self.rescues)


def wait(rows: Sequence[FailingRow], q: float) -> float:
    """Of all turns of the rows together; not a number: the agent talked the caller down in each."""
    turns = [rescue.turn for row in rows for rescue in row.rescues]
    waits = [turn.wait for turn in turns if not turn.talked_over]
    return quantile(waits, q) if waits else math.nan


async def measure_failing(
    at: Exchange, turns: int, progress: Callable[[str], None]
) -> Sequence[FailingRow]:
    """So many turns of each fault with our settings, and about half as many with LiveKit's, which
    take longer; each is the first of its call, when nothing is known of the servers yet.
    """
    heard: Mapping[tuple[str, Variant], list[Rescue]] = {
        (failing, variant): [] for failing in FAILINGS for variant in (OURS_FAILING, STOCK_FAILING)
    }
    for number in range(turns):
        for (failing, variant), done in heard.items():
            if variant.stock and 2 * len(done) >= turns:
                continue
            progress(f"{variant.title}, the model {FAILINGS[failing].title}: turn {number + 1}")
            async with at.call(variant) as line:
                await FAILINGS[failing].begin(at.model, at.spare)
                done.append(await _rescue(line, SENTENCES[number % len(SENTENCES)]))
    return [
        FailingRow(failing=failing, variant=variant, rescues=rescues)
        for (failing, variant), rescues in heard.items()
        if rescues
    ]


async def _rescue(line: Call, name: str) -> Rescue:
    caller, loop = line.caller, asyncio.get_running_loop()
    spoken = await line.say(name)

    def is_whole() -> bool:
        return caller.said(by_agent=True, since=spoken.began) == REPLY

    last_sound = spoken.ended
    while not is_whole() and loop.time() < last_sound + HANGS_UP:
        await asyncio.sleep(_LOOK_EVERY)
        if sound := caller.sound(spoken.ended):
            last_sound = sound[-1].at
    if is_whole():
        await caller.silence()
    pause = longest_pause(caller.sound(spoken.ended))
    return Rescue(turn=spoken.turn, pause=pause, whole=is_whole())


# ── What is promised ─────────────────────────────────────────────────────────────────────────────

SLOW, LONGEST_WAIT, LONGEST_PAUSE = 0.95, 1.30, 0.70
"""The quantile of the waits of all faults together, and seconds that ours may take."""


def missed_failing(rows: Sequence[FailingRow]) -> Sequence[str]:
    """Each goal that our settings miss, with the fault to blame."""
    ours = [row for row in rows if row.variant == OURS_FAILING]
    if not ours:
        return []
    shortfalls = []
    if not (slow := wait(ours, SLOW)) <= LONGEST_WAIT:
        worst = max(ours, key=lambda row: row.wait(SLOW))
        shortfalls.append(
            f"with a failing model, p95 is {slow:.2f} s and not {LONGEST_WAIT:.2f} s; "
            f"longest when it {FAILINGS[worst.failing].title}"
        )
    for row in ours:
        title = FAILINGS[row.failing].title
        if row.whole < len(row.rescues):
            shortfalls.append(
                f"when the model {title}, only {row.whole} of {len(row.rescues)} answers are whole"
            )
        elif row.pause > LONGEST_PAUSE:
            shortfalls.append(
                f"when the model {title}, a pause is {row.pause:.2f} s "
                f"and not {LONGEST_PAUSE:.2f} s"
            )
    return shortfalls
