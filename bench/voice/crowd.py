"""Several callers at once, beside callers one at a time who say the same."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import chain

from bench.report.command import Progress
from bench.report.goals import Goal
from bench.voice.calls import Call, Exchange
from bench.voice.turns import Row, Turn
from bench.voice.variants import OURS

CROWDS = (2, 3, 5)
"""Numbers of callers at once; the goal is about the most."""
CALLERS = max(CROWDS)
MOST = 1.5
"""Times as long as the longest wait of callers one at a time that any caller may wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """The same turns with one caller at a time, and with several of them at once."""

    alone: Row
    together: Mapping[int, Row]
    """By number of callers."""

    @property
    def ratio(self) -> float:
        """The longest wait of the most callers together, divided by the longest alone."""
        return self.together[max(self.together)].wait(1) / self.alone.wait(1)


async def measure_crowd(exchange: Exchange, turns: int, progress: Progress) -> Crowd | None:
    """Takes so many turns of each caller; None for no turns.

    Together, the callers begin to speak at the same moment in every turn, each another sentence
    with another voice.
    """
    if not turns:
        return None
    await exchange.make_healthy()
    alone: list[Turn] = []
    for caller in range(CALLERS):
        progress(f"caller {caller + 1} of {CALLERS}, alone")
        async with exchange.call(OURS) as call:
            alone += await _take_turns(call, caller, turns)
    together = {
        callers: Row(variant=OURS, turns=await _together(exchange, callers, turns, progress))
        for callers in CROWDS
    }
    return Crowd(alone=Row(variant=OURS, turns=alone), together=together)


async def _together(
    exchange: Exchange, callers: int, turns: int, progress: Progress
) -> Sequence[Turn]:
    async with AsyncExitStack() as stack:
        calls = []
        for caller in range(callers):
            progress(f"caller {caller + 1} of {callers} joins the others")
            calls.append(await stack.enter_async_context(exchange.call(OURS)))
        together: list[Turn] = []
        for turn in range(turns):
            progress(f"{callers} callers at once: turn {turn + 1} of {turns}")
            taken = (_take_turns(call, caller + turn, 1) for caller, call in enumerate(calls))
            together += chain.from_iterable(await asyncio.gather(*taken))
        return together


async def _take_turns(call: Call, first: int, turns: int) -> Sequence[Turn]:
    return [(await call.turn(number)).turn for number in range(first, first + turns)]


def crowd_goals(crowd: Crowd | None) -> list[Goal]:
    if not crowd:
        return []
    return [Goal("longest wait", crowd.ratio, MOST, "of one caller's")]
