"""Outcomes of calls that were placed: every SIP status, every error of LiveKit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.api import ServerErrorCode

from llm_router.voice.phone.outcomes import BY_ERROR, BY_STATUS, NO_SERVICE, Outcome, result_of

OBSERVED = [
    (486, "resource_exhausted", Outcome.BUSY, True),
    (600, "resource_exhausted", Outcome.BUSY, True),
    (603, "permission_denied", Outcome.DECLINED, False),
    (480, "resource_exhausted", Outcome.NO_ANSWER, True),
    (404, "not_found", Outcome.INVALID, False),
    (484, "invalid_argument", Outcome.INVALID, False),
    (403, "permission_denied", Outcome.BLOCKED, False),
    (607, "permission_denied", Outcome.BLOCKED, False),
    (503, "failed_precondition", Outcome.CAPACITY, True),
    (500, "failed_precondition", Outcome.FAILED, True),
    (401, "permission_denied", Outcome.FAILED, False),
    (488, "invalid_argument", Outcome.FAILED, False),
    (None, "canceled", Outcome.NO_ANSWER, True),
    (None, "unavailable", Outcome.CAPACITY, True),
    (None, "not_found", Outcome.FAILED, False),
    (None, "deadline_exceeded", Outcome.UNKNOWN, False),
    (None, "failed_precondition", Outcome.UNKNOWN, False),
    (None, "internal", Outcome.UNKNOWN, False),
]


@pytest.mark.parametrize(("status", "error", "outcome", "may_retry"), OBSERVED)
def test_each_end_of_a_call_that_was_seen_has_its_outcome(
    status: int | None, error: str, outcome: Outcome, may_retry: bool
) -> None:
    result = result_of(status, error)
    assert (result.outcome, result.may_retry) == (outcome, may_retry)


def test_a_missing_sip_service_is_named() -> None:
    result = result_of(None, "unavailable", "twirp error unknown: no response from servers")
    assert result == NO_SERVICE
    assert "start livekit-sip" in result.meaning


@pytest.mark.parametrize("status", [401, 403, 404, 407, 408, 429, 400, 500, 502, 503, 504])
def test_where_a_carrier_refuses_another_one_may_put_the_call_through(status: int) -> None:
    assert result_of(status).may_reroute


@pytest.mark.parametrize("status", [480, 484, 486, 487, 410, 488, 600, 603, 604, 607, 608, 699])
def test_where_the_persons_side_has_spoken_no_other_carrier_is_asked(status: int) -> None:
    assert not result_of(status).may_reroute


@pytest.mark.parametrize("error", ["unavailable", "unauthenticated", "failed_precondition", "?"])
def test_for_a_fault_of_livekit_no_other_carrier_is_asked(error: str) -> None:
    assert not result_of(None, error).may_reroute


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("max auth retry attempts reached for SIP invite", "refuses username and password"),
        ("sip server required auth, but no username or password", "refuses username and password"),
        ("dial tcp 127.0.0.1:1: connect: connection refused", "nothing takes calls"),
        ("lookup sip.example.invalid: no such host", "nothing takes calls"),
    ],
)
@pytest.mark.parametrize("error", ["failed_precondition", "invalid_argument"])
def test_a_carrier_that_cannot_be_reached_is_a_fault_of_the_set_up(
    error: str, message: str, said: str
) -> None:
    result = result_of(None, error, message)
    assert said in result.meaning
    assert (result.is_setup, result.may_reroute) == (True, True)


@given(st.integers(-1000, 10_000) | st.none(), st.text(max_size=20), st.text(max_size=50))
def test_every_status_and_every_error_has_one_result(
    status: int | None, error: str, message: str
) -> None:
    result = result_of(status, error, message)
    assert (result.outcome is Outcome.ANSWERED) is (status in range(200, 300))
    assert result.meaning


def test_a_number_that_is_wrong_or_unwanted_is_never_called_again() -> None:
    for result in {*BY_STATUS.values(), *BY_ERROR.values()}:
        if result.outcome in {Outcome.INVALID, Outcome.BLOCKED, Outcome.DECLINED}:
            assert not result.may_retry
        if result.outcome in {Outcome.BUSY, Outcome.NO_ANSWER, Outcome.CAPACITY}:
            assert result.may_retry


def test_the_kinds_of_errors_are_those_of_livekit() -> None:
    known = {value for name, value in vars(ServerErrorCode).items() if name.isupper()}
    assert known >= BY_ERROR.keys()
