"""Tests what an agent learns of its call from its dispatch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.dispatch import MAX_LENGTH, Dispatch


def test_a_dispatch_is_read_as_it_was_written() -> None:
    dispatch = Dispatch(caller="c0ffee", assistant="shop", epoch=3)
    assert Dispatch.from_metadata(dispatch.to_metadata()) == dispatch


def test_fields_of_a_newer_server_are_ignored() -> None:
    assert Dispatch.from_metadata('{"epoch": 2, "weather": "fine"}') == Dispatch(epoch=2)


@pytest.mark.parametrize(
    "text", ["", "c0ffee", "[1]", '{"epoch": 0}', '{"assistant": "' + "a" * MAX_LENGTH + '"}']
)
def test_other_metadata_says_nothing(text: str) -> None:
    assert Dispatch.from_metadata(text) == Dispatch()


@given(st.text())
def test_no_metadata_raises(text: str) -> None:
    Dispatch.from_metadata(text)
