"""UsageObserver: from events to rows of the usage log, without loss."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from llm_router.catalog.prices import Price
from llm_router.clock import checkpoint
from llm_router.errors import StoreError
from llm_router.failures import Failure, FailureClass
from llm_router.routing.events import AttemptEvent, ReplyEvent
from llm_router.store.usage import UsageRecord
from llm_router.telemetry.usage import WINDOW, UsageObserver
from llm_router.testing import ManualClock
from llm_router.types import Usage
from tests.events import REPLY

PRICE = Price(input=1.0, cached=0.5, output=10.0)
FIRST = AttemptEvent(
    connection="a", connection_id="id-a", pool="night", model="m", role="first", outcome="won",
    failure=None, started_at=100.0, first_word=0.25, first_clause=0.5, duration=2.0,
    characters=400, given=400, delivered=True, usage=Usage(1000, 200, 400), price=PRICE,
)  # fmt: skip
ASKED = replace(
    REPLY, started_at=100.0, first_word=0.25, duration=2.0, deadline=4.0, integration="livekit",
    prompt_characters=4000,
)  # fmt: skip


class MemoryLog:
    """A usage log in memory. It fails while `is_broken` is set."""

    def __init__(self) -> None:
        self.rows: list[UsageRecord] = []
        self.batches: list[tuple[int, bool]] = []
        self.is_broken = False
        self.written = asyncio.Event()

    async def append(self, attempts: Sequence[UsageRecord], *, again: bool = False) -> None:
        self.batches.append((len(attempts), again))
        if self.is_broken:
            raise StoreError("database d: it is down")
        self.rows += attempts
        self.written.set()


def reply(*tries: AttemptEvent, **facts: Any) -> ReplyEvent:
    return replace(ASKED, tries=tries or (FIRST,), **facts)


def failed(kind: FailureClass = FailureClass.SILENT, **facts: Any) -> AttemptEvent:
    ended = {"outcome": str(kind), "failure": Failure(kind, "as given"), "delivered": False}
    none = {"first_word": None, "first_clause": None, "usage": None, "characters": 0, "given": 0}
    return replace(FIRST, **ended | none | facts)  # type: ignore[arg-type]  # fields by name


def rows_of(*replies: ReplyEvent) -> list[UsageRecord]:
    log, clock = MemoryLog(), ManualClock(now=102.0)

    async def main() -> None:
        observer = UsageObserver(log, clock)
        for each in replies:
            observer.reply_ended(each)
        await observer.aclose()

    clock.run(main())
    return log.rows


# ── What is written ──────────────────────────────────────────────────────────────────────────────


def test_an_attempt_is_written_with_all_its_facts() -> None:
    [row] = rows_of(reply())
    assert row.at.timestamp() == ManualClock(now=100.0).wall()
    assert row == UsageRecord(
        at=row.at, connection_id="id-a", connection_name="a", model="m", pool="night",
        integration="livekit", session_id="s", reply_id=row.reply_id, role="first", outcome="won",
        delivered=True, ttft=0.25, ttfc=0.5, duration=2.0, tokens_in=1000, tokens_out=200,
        tokens_cached=400, cost=(600 + 200 + 2000) / 1e6,
    )  # fmt: skip


def test_the_attempts_of_a_reply_share_its_id_and_no_other_has_it() -> None:
    some = replace(reply(FIRST, replace(FIRST, role="trial")), reply_id="some")
    rows = rows_of(some, replace(some, reply_id="other", tries=[FIRST]))
    assert [row.reply_id for row in rows] == ["some", "some", "other"]


def test_tokens_of_a_hedge_that_was_cut_off_are_estimated_and_paid() -> None:
    lost = replace(FIRST, role="hedge", outcome="lost", delivered=False, usage=None, characters=41)
    [_, row] = rows_of(reply(FIRST, lost))
    assert (row.tokens_in, row.tokens_out, row.is_estimated) == (1000, 11, True)
    assert row.cost == pytest.approx((1000 + 110) / 1e6)


@pytest.mark.parametrize(
    ("kind", "tokens"),
    [
        (FailureClass.SILENT, 1000),
        (FailureClass.STALLED, 1000),
        (FailureClass.UNREACHABLE, 0),
        (FailureClass.RATE_LIMITED, 0),
    ],
)
def test_a_request_that_a_server_refused_costs_nothing(kind: FailureClass, tokens: int) -> None:
    [row] = rows_of(reply(failed(kind)))
    assert (row.tokens_in, row.is_estimated) == (tokens, bool(tokens))
    assert row.cost == pytest.approx(tokens / 1e6)


def test_without_a_price_there_is_no_cost() -> None:
    [row] = rows_of(reply(replace(FIRST, price=None)))
    assert row.cost is None


# ── Silence avoided ──────────────────────────────────────────────────────────────────────────────


def spoke(role: Any, started_at: float = 100.5) -> AttemptEvent:
    return replace(FIRST, connection="b", role=role, started_at=started_at)


@pytest.mark.parametrize(
    ("tries", "avoided"),
    [
        ([FIRST], [None]),
        ([failed(), spoke("failover")], [None, 3.25]),
        ([failed(), spoke("hedge")], [None, 3.25]),
        ([failed(), spoke("failover", 105.0)], [None, 0.0]),
        ([failed(), failed(role="hedge"), spoke("failover")], [None, None, 3.25]),
        # The one before it was only slower, and it is unknown by how much.
        ([failed(failure=None, outcome="lost"), spoke("hedge")], [None, None]),
        # It broke off in the middle of its words, and another continued them.
        (
            [
                failed(FailureClass.BROKEN_STREAM, delivered=True, first_word=0.25),
                spoke("resume", 101),
            ],
            [None, 3.75],
        ),
        ([failed(started_at=101.0, role="hedge"), FIRST], [None, None]),
    ],
)
def test_silence_is_avoided_by_the_attempt_that_replaced_a_failed_one(
    tries: list[AttemptEvent], avoided: list[float | None]
) -> None:
    assert [row.silence_avoided for row in rows_of(reply(*tries))] == avoided


# ── When it is written ───────────────────────────────────────────────────────────────────────────


def test_attempts_are_written_together_within_the_window() -> None:
    log, clock = MemoryLog(), ManualClock()

    async def main() -> None:
        observer = UsageObserver(log, clock)
        observer.start()
        observer.reply_ended(reply())
        await clock.sleep(WINDOW / 2)
        observer.reply_ended(reply())
        assert log.batches == []
        await clock.sleep(WINDOW / 2 + 0.01)
        assert log.batches == [(2, False)]
        await clock.sleep(10 * WINDOW)
        assert log.batches == [(2, False)]  # no empty batch is written
        await observer.aclose()

    clock.run(main())


def test_a_full_batch_does_not_wait_for_the_window() -> None:
    log, clock = MemoryLog(), ManualClock()

    async def main() -> None:
        observer = UsageObserver(log, clock)
        observer.start()
        for _ in range(501):
            observer.reply_ended(reply())
        await log.written.wait()
        assert clock.now() < WINDOW / 2
        assert len(log.rows) == 500
        await clock.sleep(WINDOW + 0.01)
        assert len(log.rows) == 501
        await observer.aclose()

    clock.run(main())


def test_nothing_is_lost_on_a_clean_stop_at_any_moment() -> None:
    for steps in range(12):
        log, clock = MemoryLog(), ManualClock()

        async def main(
            log: MemoryLog = log, clock: ManualClock = clock, steps: int = steps
        ) -> None:
            observer = UsageObserver(log, clock)
            observer.start()
            for _ in range(750):
                observer.reply_ended(reply())
            for _ in range(steps):
                await checkpoint()
            await observer.aclose()

        clock.run(main())
        assert len(log.rows) == 750


def test_a_failed_batch_is_repeated_as_one_that_may_have_been_written(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log, clock = MemoryLog(), ManualClock()
    caplog.set_level(logging.INFO, "llm_router")

    async def main() -> None:
        observer = UsageObserver(log, clock)
        observer.start()
        log.is_broken = True
        observer.reply_ended(reply())
        await clock.sleep(3.5 * WINDOW)
        observer.reply_ended(reply())
        log.is_broken = False
        await log.written.wait()
        # Unchanged: attempts that came meanwhile are another batch.
        assert log.batches[-1] == (1, True)
        await clock.sleep(2 * WINDOW)
        assert log.batches[-1] == (1, False)
        assert len(log.rows) == 2
        await observer.aclose()

    clock.run(main())
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_beyond_the_bound_the_oldest_attempts_are_dropped_counted_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log, clock = MemoryLog(), ManualClock()

    async def main() -> None:
        observer = UsageObserver(log, clock, bound=10)
        for number in range(25):
            observer.reply_ended(reply(session_id=str(number)))
        assert observer.dropped == 15
        await observer.aclose()

    clock.run(main())
    assert [row.session_id for row in log.rows] == [str(number) for number in range(15, 25)]
    assert ["dropped" in record.getMessage() for record in caplog.records] == [True]


def test_a_log_that_stays_broken_does_not_delay_the_exit_and_the_loss_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log, clock = MemoryLog(), ManualClock()

    async def main() -> None:
        observer = UsageObserver(log, clock)
        observer.start()
        log.is_broken = True
        observer.reply_ended(reply())
        await observer.aclose()
        assert clock.now() < 10

    clock.run(main())
    assert "usage of 1 attempts is lost" in caplog.records[-1].getMessage()
