"""An answer cut after every possible word goes on to the exact same text, from each to each."""

import itertools

import pytest

from tests.live.engines import Engines, marks
from tests.live.kinds import KINDS, Kind
from tests.live.receptionist import ANSWERS, answer, ask
from tests.live.routed import CutShort, Routed

CUT = ("hours", "coffee", "bus")
"""Two sentences each, or letters of several bytes and signs that are no words."""
PAIRS = [
    pytest.param(first, second, id=f"{first.name}-{second.name}", marks=marks(first, second))
    for first, second in itertools.product(KINDS.values(), KINDS.values())
    if second.continues
]


@pytest.mark.parametrize(("first", "second"), PAIRS)
async def test_whoever_goes_on_says_exactly_what_was_missing(
    all_engines: Engines, first: Kind, second: Kind
) -> None:
    begins, ends = await all_engines.get(first), await all_engines.get(second)
    async with begins.provider() as beginning, ends.provider() as ending:
        assert ending.continuation != "words"
        await answer(beginning, ask("hello"))  # its model is in memory from here on
        for name in CUT:
            for words in range(1, len(ANSWERS[name].split())):
                routed = Routed(CutShort(beginning, words), ending)
                assert await routed.answer(ask(name)) == ANSWERS[name], (name, words)
                assert routed.attempts == [("0", "broken stream"), ("1", "won")]
