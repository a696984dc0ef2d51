"""When an endpoint may be asked again for the same reply, by the kind of its failure."""

import pytest

from llm_router.classification import classify
from llm_router.connections.record import Connection
from llm_router.errors import AddressRefusedError
from llm_router.failures import CONSEQUENCES, Failure, FailureClass
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.repeats import Repeats
from llm_router.testing import HANG, ManualClock, ScriptedProvider

NOW, LEFT = 100.0, 4.0


def endpoint(
    name: str = "a", *, last_resort: bool = False, max_retries: int | None = None
) -> Endpoint:
    provider = ScriptedProvider([[HANG]], clock=ManualClock(), last_resort=last_resort)
    return Endpoint(Connection(name=name, max_retries=max_retries), provider)


def pauses(kind: FailureClass, retry_after: float | None = None) -> list[float | None]:
    """The pauses after each of three failures in a row without a word; None: it is not asked."""
    repeats, one = Repeats(), endpoint()
    found: list[float | None] = []
    for _ in range(3):
        failure = Failure(kind, "a reason", retry_after)
        repeats.failed(one, failure, NOW, spoke=False, time_left=LEFT)
        found.append(round(repeats.times[0] - NOW, 6) if repeats.times else None)
    return found


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (FailureClass.UNREACHABLE, [0.08, 0.16, 0.32]),
        (FailureClass.OVERLOADED, [0.08, 0.16, 0.32]),
        (FailureClass.BROKEN_STREAM, [0.0, 0.08, 0.16]),
        (FailureClass.EMPTY, [0.0, 0.0, 0.0]),
        (FailureClass.SILENT, [0.0, 0.0, 0.0]),
        (FailureClass.RATE_LIMITED, [None, None, None]),
    ],
)
def test_the_pause_grows_where_the_server_needs_one(
    kind: FailureClass, expected: list[float]
) -> None:
    assert pauses(kind) == expected


@pytest.mark.parametrize("kind", [k for k, c in CONSEQUENCES.items() if c.again == "never"])
def test_a_failure_that_lasts_is_final(kind: FailureClass) -> None:
    assert pauses(kind, retry_after=0.1) == [None, None, None]


def test_a_server_that_names_a_time_within_the_deadline_is_not_asked_before() -> None:
    assert pauses(FailureClass.OVERLOADED, retry_after=1.0) == [1.0, 1.0, 1.0]
    assert pauses(FailureClass.OVERLOADED, retry_after=LEFT) == [0.08, 0.16, 0.32]
    assert pauses(FailureClass.RATE_LIMITED, retry_after=1.0) == [1.0, 1.0, 1.0]
    assert pauses(FailureClass.RATE_LIMITED, retry_after=LEFT) == [None, None, None]
    assert pauses(FailureClass.RATE_LIMITED, retry_after=0.0) == [0.08, 0.16, 0.32]


def test_after_some_words_it_may_be_asked_at_once_however_often_it_failed_before() -> None:
    repeats, one = Repeats(), endpoint()
    down = Failure(FailureClass.UNREACHABLE, "reset")
    for spoke in (False, False, True):
        repeats.failed(one, down, NOW, spoke=spoke, time_left=LEFT)
    assert repeats.due(NOW) is one


def test_the_one_that_has_waited_longest_is_due_first_and_each_once() -> None:
    repeats, a, b = Repeats(), endpoint("a"), endpoint("b")
    repeats.add(a, NOW + 2)
    repeats.add(b, NOW + 1)
    assert repeats.due(NOW) is None
    assert repeats.due(NOW + 3) is b
    repeats.take(b)
    assert repeats.due(NOW + 3) is a


def test_one_that_was_withdrawn_or_a_last_resort_is_not_asked_again() -> None:
    repeats, gone, resort = Repeats(), endpoint("a"), endpoint("z", last_resort=True)
    repeats.add(gone, NOW)
    repeats.add(resort, NOW)
    gone.withdraw(lambda: None)
    assert repeats.due(NOW) is None


def test_a_connection_allows_so_many_more_requests() -> None:
    repeats, one = Repeats(), endpoint(max_retries=2)
    down = Failure(FailureClass.OVERLOADED, "HTTP 503")
    allowed: list[tuple[bool, bool]] = []
    for _ in range(3):
        repeats.started(one)
        repeats.failed(one, down, NOW, spoke=False, time_left=LEFT)
        allowed.append((repeats.may_ask(one), bool(repeats.times)))
    assert allowed == [(True, True), (True, True), (False, False)]
    assert repeats.may_ask(endpoint(max_retries=0)), "the first request is no repeat"


def test_silence_and_words_spoken_do_not_lift_the_limit_of_a_connection() -> None:
    repeats, one = Repeats(), endpoint(max_retries=0)
    repeats.started(one)
    repeats.add(one, NOW)
    broken = Failure(FailureClass.BROKEN_STREAM, "reset")
    repeats.failed(one, broken, NOW, spoke=True, time_left=LEFT)
    assert (repeats.times, repeats.due(NOW)) == ([], None)


def test_an_address_that_was_refused_is_not_asked_again() -> None:
    repeats, one = Repeats(), endpoint()
    failure = classify(AddressRefusedError("10.0.0.5 is not allowed"))
    repeats.failed(one, failure, NOW, spoke=False, time_left=LEFT)
    assert repeats.times == []
