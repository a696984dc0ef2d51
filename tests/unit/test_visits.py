"""Tests continuations: only the visitor who got one returns to its room."""

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit import api

from agent.visits import MAX_LENGTH, PUBLIC_PREFIX, Continuations, Visit

SECRET = "a-secret-of-more-than-thirty-two-characters"
NOW = 1_800_000_000.0
DAY = 24 * 3600
OURS = Continuations(SECRET)


def test_a_continuation_gives_the_same_visitor_the_same_room() -> None:
    visit = Visit.begin()
    assert OURS.read(OURS.sign(visit, NOW), NOW + DAY - 1) == visit


def test_a_continuation_runs_out() -> None:
    assert OURS.read(OURS.sign(Visit.begin(), NOW), NOW + DAY) is None


@pytest.mark.parametrize("text", [None, "", "web-1", "a.b.c", "x" * (MAX_LENGTH + 1)])
def test_what_is_no_continuation_is_none(text: str | None) -> None:
    assert OURS.read(text, NOW) is None


@given(st.text())
def test_no_text_is_an_error(text: str) -> None:
    assert OURS.read(text, NOW) is None


def test_another_secret_signs_nothing_for_us() -> None:
    assert OURS.read(Continuations(SECRET + "!").sign(Visit.begin(), NOW), NOW) is None


def test_livekits_tokens_and_unsigned_ones_are_no_continuations() -> None:
    claims = {"sub": "visitor-1", "room": "web-1", "exp": int(NOW) + 60}
    assert OURS.read(jwt.encode(claims, SECRET, algorithm="HS256"), NOW) is None
    assert OURS.read(jwt.encode(claims, "", algorithm="none"), NOW) is None


def test_a_continuation_opens_nothing_at_livekit() -> None:
    text = OURS.sign(Visit.begin(), NOW)
    with pytest.raises(jwt.InvalidSignatureError):
        api.TokenVerifier("key", SECRET).verify(text)


def test_rooms_are_long_and_never_the_same() -> None:
    visits = [Visit.begin() for _ in range(100)]
    assert len({visit.room for visit in visits}) == 100
    assert len({visit.identity for visit in visits}) == 100
    assert all(len(visit.room) >= len(PUBLIC_PREFIX) + 20 for visit in visits)
