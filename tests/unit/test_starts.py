"""Tests how a worker reports call processes that do not come up, from LiveKit's own log."""

import logging
from pathlib import Path

import pytest

from agent.starts import StartFailures, Starts


@pytest.fixture
def starts(tmp_path: Path) -> Starts:
    return Starts(tmp_path / "starts")


def record_of(error: Exception) -> logging.LogRecord:
    """Returns LiveKit's record of a process that failed with this error."""
    exc_info = (type(error), error, None)
    where = ("livekit.agents", logging.ERROR, "proc_pool.py", 1)
    return logging.LogRecord(*where, "error initializing process", None, exc_info)


def failed(reason: str) -> logging.LogRecord:
    return record_of(RuntimeError(f"process initialization failed: {reason}"))


def test_one_process_of_a_worker_rehearses(starts: Starts) -> None:
    with starts.rehearsal() as first, starts.rehearsal() as second:
        assert (first, second) == (True, False)
    with starts.rehearsal() as third:
        assert not third


def test_a_rehearsal_that_failed_is_repeated_by_the_next_process(starts: Starts) -> None:
    with pytest.raises(RuntimeError), starts.rehearsal():
        raise RuntimeError
    with starts.rehearsal() as is_due:
        assert is_due


def test_a_first_process_that_fails_is_reported_by_the_worker_that_it_ends(
    starts: Starts,
) -> None:
    failures = StartFailures(starts)
    assert not failures.filter(failed("no voice"))
    assert failures.never_up.is_set()
    assert failures.reason == "no voice"


def test_later_failures_are_logged_once_for_each_reason(starts: Starts) -> None:
    failures = StartFailures(starts)
    starts.succeeded(starts.failures)
    first = failed("no voice")
    assert failures.filter(first)
    assert "did not start, and no call can be answered: no voice" in first.getMessage()
    assert first.exc_info is None
    assert not failures.filter(failed("no voice"))
    assert failures.filter(failed("no phrases"))
    assert starts.is_failing
    starts.succeeded(starts.failures)
    assert not starts.is_failing
    assert failures.filter(failed("no phrases"))
    assert not failures.never_up.is_set()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "it was not ready in time"),
        (ConnectionError(), "it ended early (ConnectionError)"),
    ],
)
def test_a_process_that_cannot_say_why_is_described(
    starts: Starts, error: Exception, said: str
) -> None:
    failures = StartFailures(starts)
    failures.filter(record_of(error))
    assert failures.reason == said


def test_other_records_pass_as_they_are(starts: Starts) -> None:
    record = logging.LogRecord(
        "livekit.agents", logging.INFO, "a.py", 1, "process ready", None, None
    )
    assert StartFailures(starts).filter(record)
    assert record.getMessage() == "process ready"
