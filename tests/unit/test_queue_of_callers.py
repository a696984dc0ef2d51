"""Tests the queue of callers: who waits at which place, and what the receptionist says when."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from agent.receptionist.queue import CallMark, Lines, Step, Wait

AGENT = "desk agent"


# ── Marks of rooms ───────────────────────────────────────────────────────────────────────────────


@given(st.text("0123456789abcdef", min_size=1), st.none() | st.floats(0, 4e9))
def test_a_mark_is_read_as_it_was_written(caller: str, since: float | None) -> None:
    mark = CallMark(caller=caller, waiting_since=None if since is None else round(since, 3))
    assert CallMark.read(mark.to_metadata(AGENT), AGENT) == mark


@given(st.text(max_size=60))
def test_any_metadata_is_read_without_an_error(text: str) -> None:
    assert CallMark.read(text, AGENT) is None or text.startswith(AGENT)
    mark = CallMark.read(f"{AGENT} {text}", AGENT)
    assert mark is not None


def test_the_longest_wait_is_first_and_other_rooms_count_for_nothing() -> None:
    rooms = {
        "talking": CallMark(caller="a").to_metadata(AGENT),
        "late": CallMark(caller="b", waiting_since=20.0).to_metadata(AGENT),
        "early": CallMark(caller="c", waiting_since=10.0).to_metadata(AGENT),
        "meeting": "",
        "of another agent": CallMark(caller="d").to_metadata("sales"),
    }
    lines = Lines.of(rooms, AGENT)
    assert (lines.callers, lines.queue, lines.waiting) == (["a"], ["early", "late"], ["c", "b"])
    assert [lines.position(room) for room in ("early", "late", "talking")] == [1, 2, 0]


# ── The wait ─────────────────────────────────────────────────────────────────────────────────────

BUSY, PLACE, CONNECT, GIVE_UP = Step.BUSY, Step.PLACE, Step.CONNECT, Step.GIVE_UP
OFFER = Step.OFFER


def steps(
    until: int,
    *,
    position: Callable[[int], int] = lambda _: 1,
    is_free: Callable[[int], bool] = lambda _: False,
    longest: float = 300.0,
    offers: bool = False,
) -> list[tuple[int, Step]]:
    wait = Wait(longest, 0.0, offers=offers)
    return [
        (now, step)
        for now in range(until)
        for step in wait.due(position(now), is_free=is_free(now), now=float(now))
    ]


def test_a_place_is_said_at_once_and_every_twenty_seconds() -> None:
    assert steps(45) == [(0, BUSY), (0, PLACE), (20, PLACE), (40, PLACE)]


def test_a_caller_may_leave_a_message_at_first_and_before_the_wait_ends() -> None:
    said = steps(101, longest=100, offers=True)
    assert said[:3] == [(0, BUSY), (0, PLACE), (0, OFFER)]
    assert [at for at, step in said if step is OFFER] == [0, 55]


def test_a_short_wait_has_one_offer() -> None:
    assert [at for at, step in steps(61, longest=60, offers=True) if step is OFFER] == [0]


def test_a_caller_who_moves_up_learns_it_soon() -> None:
    said = steps(30, position=lambda now: 2 if now < 8 else 1)
    assert said == [(0, BUSY), (0, PLACE), (8, PLACE), (28, PLACE)]


def test_a_queue_that_moves_fast_is_not_announced_without_a_pause() -> None:
    said = steps(13, position=lambda now: 20 - now)
    assert said == [(0, BUSY), (0, PLACE), (6, PLACE), (12, PLACE)]


def test_the_first_takes_a_free_line_at_once_and_the_others_if_it_stays_free() -> None:
    def connected(position: int) -> int:
        said = steps(60, position=lambda _: position, is_free=lambda now: now >= 10)
        return next(at for at, step in said if step is CONNECT)

    assert [connected(position) for position in (1, 2, 3)] == [10, 15, 20]


def test_an_agent_that_does_not_come_is_called_again() -> None:
    said = steps(40, is_free=lambda _: True)
    assert [at for at, step in said if step is CONNECT] == [0, 16, 32]


def test_a_line_that_is_taken_in_time_is_not_taken_twice() -> None:
    said = steps(60, position=lambda _: 2, is_free=lambda now: now % 10 < 4)
    assert CONNECT not in {step for _, step in said}


def test_no_caller_waits_for_ever() -> None:
    said = steps(40, longest=30)
    assert said[-10:] == [(at, GIVE_UP) for at in range(30, 40)]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=100))
def test_a_caller_is_never_without_a_word_for_long(moments: list[tuple[int, bool]]) -> None:
    wait, last = Wait(60.0, 0.0), 0.0
    for now, (position, is_free) in enumerate(moments):
        if wait.due(position, is_free=is_free, now=float(now)):
            last = now
        assert now - last <= 20
