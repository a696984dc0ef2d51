"""Tests how many replies may be in progress."""

from contextlib import ExitStack

import pytest

from llm_router.errors import BusyError
from llm_router.gateway.completions.places import ReplyPlaces


def test_a_key_all_keys_and_their_bodies_are_bounded() -> None:
    places = ReplyPlaces(most_per_key=2, most=3, most_bytes=100)
    with ExitStack() as taken:
        for _ in range(2):
            taken.enter_context(places.taken("a", 30))
        with pytest.raises(BusyError, match="2 replies of this API key"), places.taken("a", 1):
            """Not reached."""
        with pytest.raises(BusyError, match="as many replies"), places.taken("b", 41):
            """Not reached."""
        taken.enter_context(places.taken("b", 1))
        with pytest.raises(BusyError, match="as many replies"), places.taken("c", 1):
            """Not reached."""
        assert places.in_progress == 3
    assert places.in_progress == 0
    with places.taken("a", 100):
        assert places.in_progress == 1
