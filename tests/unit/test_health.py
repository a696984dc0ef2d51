"""Tests how a status follows from checks, and when a connection is deactivated."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.connections.health import (
    ALIVE_OUTCOMES,
    Evidence,
    Verdict,
    assess,
    deactivate_if_replaceable,
    delay_until_next_check,
)
from llm_router.connections.record import Connection, Status
from llm_router.connections.store import NOT_ASKED, OK, Check, CheckKind
from llm_router.failures import FailureClass
from llm_router.options import HealthOptions

START = datetime(2026, 5, 4, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OPTIONS = HealthOptions()
DOWN, BUSY, LIMITED = (
    FailureClass.UNREACHABLE, FailureClass.OVERLOADED, FailureClass.RATE_LIMITED,
)  # fmt: skip
OUTCOMES = [OK, DOWN, BUSY, LIMITED, FailureClass.REJECTED_KEY, FailureClass.MODEL_MISSING]


def desk(status: Status = "untested", **fields: object) -> Connection:
    return replace(Connection(id="desk", name="desk", status=status), **fields)  # type: ignore[arg-type]  # fields by name


def evidence(checks: Iterable[Check]) -> Evidence:
    """Makes the evidence of checks, given from the oldest to the newest."""
    recent = [*checks][::-1]
    broken = None
    for check in recent:
        if check.outcome in ALIVE_OUTCOMES:
            break
        broken = check.at
    return Evidence(recent, next((c for c in recent if c.kind != "probe"), None), broken)


def series(*outcomes: str, kind: CheckKind = "probe", every: timedelta = MINUTE) -> list[Check]:
    return [
        Check(at=START + number * every, outcome=outcome, kind=kind, detail=f"{outcome} (why)")
        for number, outcome in enumerate(outcomes)
    ]


def statuses(
    outcomes: Iterable[str], status: Status = "untested", options: HealthOptions = OPTIONS
) -> list[Status]:
    """Returns the status after each check in turn."""
    checks, found = series(*outcomes), list[Status]()
    for upto in range(1, len(checks) + 1):
        status = assess(desk(status), evidence(checks[:upto]), options).status
        found.append(status)
    return found


@pytest.mark.parametrize(
    ("outcomes", "found"),
    [
        ([OK], ["active"]),
        ([DOWN, OK], ["testing", "active"]),
        ([DOWN, DOWN, DOWN], ["testing", "testing", "error"]),
        ([DOWN, BUSY, DOWN], ["testing", "testing", "error"]),
        ([OK, DOWN, DOWN, OK], ["active", "active", "active", "active"]),
        ([OK, DOWN, DOWN, DOWN, OK, OK], ["active"] * 3 + ["error"] * 2 + ["active"]),
        ([LIMITED] * 3, ["testing", "testing", "resting"]),
        ([LIMITED, DOWN] + [LIMITED] * 3, ["testing"] * 2 + ["error"] * 2 + ["resting"]),
        ([LIMITED] * 3 + [DOWN] * 3, ["testing"] * 2 + ["resting"] * 3 + ["error"]),
    ],
)
def test_a_status_follows_from_several_checks_in_a_row(
    outcomes: list[str], found: list[Status]
) -> None:
    assert statuses(outcomes) == found


@given(st.lists(st.sampled_from(OUTCOMES), max_size=60), st.integers(1, 5), st.integers(1, 5))
def test_a_status_never_flaps(outcomes: list[str], fall: int, rise: int) -> None:
    """Checks that between two changes there are as many equal checks in a row as a change takes."""
    options = replace(OPTIONS, fall=fall, rise=rise)
    found = statuses(outcomes, options=options)
    for at, (before, after) in enumerate(pairwise(found), start=1):
        if before == after:
            continue
        if after == "active":
            needed = 1 if before == "testing" else rise
            assert outcomes[at - needed + 1 : at + 1] == [OK] * needed
        else:
            last = outcomes[max(0, at - fall + 1) : at + 1]
            assert len(last) == fall
            assert OK not in last


@given(st.sampled_from(["active", "error", "resting"]), st.integers(2, 5), st.integers(2, 5))
def test_alternating_outcomes_keep_the_status(status: Status, fall: int, rise: int) -> None:
    options = replace(OPTIONS, fall=fall, rise=rise)
    assert {*statuses([DOWN, OK] * 20, status, options)} == {status}


def test_one_requested_test_is_enough() -> None:
    for outcome, status in ((OK, "active"), (DOWN, "error"), (LIMITED, "resting")):
        checks = evidence(series(outcome, kind="test"))
        for before in ("untested", "testing", "active", "error", "resting"):
            assert assess(desk(before), checks, OPTIONS).status == status


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(FailureClass.MODEL_MISSING, "error"), (FailureClass.REJECTED_KEY, "active")],
)
def test_a_probe_does_not_clear_a_failure_that_only_a_reply_can_disprove(
    outcome: str, status: Status
) -> None:
    test = series(outcome, kind="test")
    later = [replace(check, at=check.at + MINUTE) for check in series(OK, OK, OK)]
    assert assess(desk("error"), evidence([*test, *later]), OPTIONS).status == status
    replied = Check(at=START + timedelta(hours=1), kind="call")
    answered = evidence([*test, *later, replied, replace(later[-1], at=replied.at + MINUTE)])
    assert assess(desk("error"), answered, OPTIONS).status == "active"


def test_the_reason_is_that_of_the_last_check_and_changes_only_for_another_fault() -> None:
    verdict = assess(desk("active"), evidence(series(OK, BUSY, BUSY, DOWN)), OPTIONS)
    assert verdict == Verdict("error", "unreachable (why)")
    broken = desk("error", status_reason=verdict.reason)
    for outcomes in ([DOWN] * 9, [BUSY, BUSY, DOWN], [DOWN, BUSY, BUSY], [BUSY, BUSY, OK]):
        assert assess(broken, evidence(series(*outcomes)), OPTIONS).reason == verdict.reason
    another = assess(broken, evidence(series(DOWN, BUSY, BUSY, BUSY)), OPTIONS)
    assert another == Verdict("error", "overloaded (why)")


def test_an_inactive_or_unchecked_connection_keeps_its_status() -> None:
    off = desk("deactivated", is_active=False, status_reason="by anna")
    assert assess(off, evidence(series(OK, OK, OK)), OPTIONS) == Verdict("deactivated", "by anna")
    assert assess(desk("untested"), Evidence(), OPTIONS) == Verdict("untested")


# ── Deactivation ─────────────────────────────────────────────────────────────────────────────────


def test_a_failure_is_lasting_after_the_configured_time_without_a_success() -> None:
    hourly = timedelta(hours=1)
    day = series(OK, *[DOWN] * 25, every=hourly)
    assert not assess(desk("error"), evidence(day[:-1]), OPTIONS).is_lasting
    assert assess(desk("error"), evidence(day), OPTIONS).is_lasting
    never = replace(OPTIONS, deactivate_after=None)
    assert not assess(desk("error"), evidence(day), never).is_lasting
    for alive in ALIVE_OUTCOMES:
        once = series(*[DOWN] * 20, alive, *[DOWN] * 20, every=hourly)
        assert not assess(desk("error"), evidence(once), OPTIONS).is_lasting


ROOM = st.builds(
    Connection,
    id=st.sampled_from("abcd"),
    name=st.just("n"),
    status=st.sampled_from(["untested", "active", "error", "resting"]),
    is_active=st.booleans(),
    use_in_livekit=st.booleans(),
    use_in_mcp=st.booleans(),
    use_in_automation=st.booleans(),
    pool=st.sampled_from(["default", "fast"]),
    owner=st.sampled_from(["anna", "ben"]),
    visibility=st.sampled_from(["private", "everyone"]),
)
LASTING = Verdict("error", "why", is_lasting=True)


@given(st.lists(ROOM, max_size=5, unique_by=lambda c: c.id), st.integers(0, 4))
def test_the_last_working_connection_is_never_deactivated(
    room: list[Connection], which: int
) -> None:
    """However many are given up one after the other, each integration that was served, in each
    pool and for each who sees it, has one left that is known to work.
    """

    def served() -> set[tuple[str, str, str]]:
        return {
            (flag, c.pool, who)
            for c in room
            if c.is_active and c.status == "active"
            for flag in ("use_in_livekit", "use_in_mcp", "use_in_automation")
            if getattr(c, flag)
            for who in ("anna", "ben")
            if c.visibility == "everyone" or c.owner == who
        }

    def broken(c: Connection) -> Connection:
        return replace(c, is_active=True, status="error")

    room = [broken(c) if number == which else c for number, c in enumerate(room)]
    before = served()
    for number, connection in enumerate(room):
        if connection.is_active and connection.status == "error":
            verdict = deactivate_if_replaceable(connection, LASTING, room)
            if verdict.status != "deactivated":
                assert verdict == LASTING
                continue
            assert verdict.reason == "broken for too long: why"
            reach = ["anna", "ben"] if connection.visibility == "everyone" else [connection.owner]
            for flag in ("use_in_livekit", "use_in_mcp", "use_in_automation"):
                if getattr(connection, flag):
                    assert {(flag, connection.pool, who) for who in reach} <= before
            room[number] = replace(connection, is_active=False, status="deactivated")
    assert served() == before


def test_none_is_deactivated_when_all_fail() -> None:
    room = [desk("error"), desk("error", id="b"), desk("error", id="c")]
    assert all(deactivate_if_replaceable(one, LASTING, room) == LASTING for one in room)
    room.append(desk("active", id="d"))
    assert all(
        deactivate_if_replaceable(one, LASTING, room).status == "deactivated" for one in room[:3]
    )


# ── Check schedule ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "outcome", "seconds"),
    [
        ("active", OK, 60),
        ("active", DOWN, 15),
        ("error", DOWN, 60),
        ("error", OK, 15),
        ("testing", DOWN, 15),
        ("resting", LIMITED, 60),
        ("untested", NOT_ASKED, 60),
    ],
)
def test_checks_are_more_frequent_while_in_doubt(
    status: Status, outcome: str, seconds: float
) -> None:
    assert delay_until_next_check(status, Check(at=START, outcome=outcome), OPTIONS) == seconds


def test_an_unchecked_connection_is_checked_at_once() -> None:
    assert delay_until_next_check("untested", None, OPTIONS) == 0
