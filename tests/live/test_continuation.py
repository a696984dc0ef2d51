"""Tests that an answer cut after any word is continued exactly, by every server for every other."""

import itertools

import pytest

from tests.live.engines import Engines, marks
from tests.live.kinds import KINDS, Kind
from tests.live.receptionist import ANSWERS, answer, ask
from tests.live.routed import CutShort, Routed

CUT = ("hours", "coffee", "bus")
"""Answers of two sentences, or with letters of several bytes and signs that are no words."""
PAIRS = [
    pytest.param(first, second, id=f"{first.name}-{second.name}", marks=marks(first, second))
    for first, second in itertools.product(KINDS.values(), KINDS.values())
    if second.continues
]


@pytest.mark.parametrize(("first", "second"), PAIRS)
async def test_a_server_continues_with_exactly_the_missing_words(
    all_engines: Engines, first: Kind, second: Kind
) -> None:
    begins = await all_engines.get(first)
    ends = await all_engines.get(second)
    async with begins.provider() as beginning, ends.provider() as ending:
        assert ending.continuation != "words"
        for provider in (beginning, ending):  # their models are in memory from here on
            await answer(provider, ask("hello"))
        for name in CUT:
            for words in range(1, len(ANSWERS[name].split())):
                routed = Routed(CutShort(beginning, words), ending)
                assert await routed.answer(ask(name)) == ANSWERS[name], (name, words)
                assert routed.attempts == [("0", "broken stream"), ("1", "won")]
