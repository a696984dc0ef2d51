"""The log of a reply, and observers: a faulty one breaks nothing."""

import logging
from dataclasses import FrozenInstanceError, replace

import pytest

from llm_router.failures import Failure, FailureClass
from llm_router.routing.events import AttemptEvent, LogObserver, Observers, ReplyEvent
from tests.events import REPLY

ATTEMPT = AttemptEvent(
    connection="a",
    role="first",
    outcome="won",
    failure=None,
    first_word=0.15,
    duration=1.0,
    characters=12,
)
TAKEN_OVER = replace(REPLY, connection="b", first_word=0.4567, took_over_from=("a",), attempts=2)


class Faulty:
    def attempt_ended(self, event: AttemptEvent) -> None:
        raise ValueError(event.connection)

    def reply_ended(self, event: ReplyEvent) -> None:
        raise ValueError(event.connection)


class Recorder:
    def __init__(self) -> None:
        self.events: list[AttemptEvent | ReplyEvent] = []

    def attempt_ended(self, event: AttemptEvent) -> None:
        self.events.append(event)

    def reply_ended(self, event: ReplyEvent) -> None:
        self.events.append(event)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "llm_router")
    return caplog


def lines(log: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in log.records]


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (TAKEN_OVER, "b answered, first word 0.457 s, took over from a"),
        (replace(TAKEN_OVER, took_over_from=()), "b answered, first word 0.457 s"),
        (
            replace(TAKEN_OVER, took_over_from=(), cancelled=True, first_word=None),
            "b answered, no word (cancelled)",
        ),
    ],
)
def test_a_reply_is_one_line(log: pytest.LogCaptureFixture, event: ReplyEvent, line: str) -> None:
    LogObserver().reply_ended(event)
    assert lines(log) == [("INFO", line)]


def test_the_last_resort_is_an_error_that_names_each_connection_and_its_reason(
    log: pytest.LogCaptureFixture,
) -> None:
    failures = (
        ("a", Failure(FailureClass.SILENT, "no word by the deadline")),
        ("b", Failure(FailureClass.REJECTED_KEY, "HTTP 401")),
    )
    event = replace(TAKEN_OVER, last_resort=True, failures=failures, unasked=(("c", "not active"),))
    LogObserver().reply_ended(event)
    said = "a: silent; b: rejected key; c: not active"
    assert lines(log) == [("ERROR", f"no connection could answer ({said}): the last resort spoke")]


def test_an_error_to_a_reader_is_logged_as_one_and_not_as_a_last_resort(
    log: pytest.LogCaptureFixture,
) -> None:
    event = replace(REPLY, connection="", characters=0, last_resort=True, failures=())
    assert event.failed
    LogObserver().reply_ended(event)
    assert lines(log) == [
        ("ERROR", "no connection could answer (none): its reader got an error"),
    ]


@pytest.mark.parametrize(
    "answered",
    [
        {"connection": "", "characters": 12},  # a phrase
        {"connection": "offline", "characters": 0},  # a tool call of the embedded responder
        {"connection": "a", "characters": 12, "last_resort": False},
    ],
)
def test_a_reply_in_which_anything_was_given_has_not_failed(answered: dict[str, object]) -> None:
    assert not replace(REPLY, **{"last_resort": True, **answered}).failed  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(
    ("kind", "level"),
    [(FailureClass.SILENT, "WARNING"), (FailureClass.REJECTED_KEY, "ERROR")],
)
def test_a_failure_is_a_warning_or_an_error_where_a_person_must_act(
    log: pytest.LogCaptureFixture, kind: FailureClass, level: str
) -> None:
    LogObserver().attempt_ended(replace(ATTEMPT, failure=Failure(kind, "a reason")))
    [(at, line)] = lines(log)
    assert at == level
    assert line.startswith(f"connection a: {kind} (a reason)")


def test_a_successful_attempt_logs_nothing(log: pytest.LogCaptureFixture) -> None:
    LogObserver().attempt_ended(ATTEMPT)
    assert lines(log) == []


def test_a_faulty_observer_reaches_neither_the_reply_nor_the_others(
    log: pytest.LogCaptureFixture,
) -> None:
    recorder = Recorder()
    observers = Observers([Faulty(), recorder])
    observers.attempt_ended(ATTEMPT)
    observers.reply_ended(TAKEN_OVER)
    assert recorder.events == [ATTEMPT, TAKEN_OVER]
    assert [line for _, line in lines(log)] == ["observer Faulty failed"] * 2


@pytest.mark.parametrize(("event", "field"), [(ATTEMPT, "outcome"), (TAKEN_OVER, "connection")])
def test_an_observer_cannot_change_an_event(event: AttemptEvent | ReplyEvent, field: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(event, field, "another")
