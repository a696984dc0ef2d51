"""Compares the figures of usage with SQL written by hand, over attempts and times of odd kinds."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from llm_router.connections.access import SYSTEM
from llm_router.store.analytics import Analytics, Span
from llm_router.store.call_figures import call_figures
from llm_router.store.database import Database
from llm_router.store.summaries import roll_up
from llm_router.store.usage import UsageLog, UsageRecord
from llm_router.store.usage_figures import Figures
from tests.contracts.usage_records import attempt

HOUR = timedelta(hours=1)
BERLIN, KATHMANDU = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kathmandu")
PUT_BACK = datetime(2026, 10, 25, tzinfo=BERLIN)
"""The day on which clocks there are put back: it has 25 hours."""
PUT_FORWARD = datetime(2026, 3, 29, tzinfo=BERLIN)
"""The day on which they are put forward: it has 23 hours."""
BY_HAND = """
SELECT COUNT(*),
  SUM(CASE WHEN role = 'first' THEN 1 ELSE 0 END),
  SUM(CASE WHEN outcome IN ('won', 'lost', 'cancelled') THEN 0 ELSE 1 END),
  SUM(CASE WHEN role = 'hedge' AND heard THEN 1 ELSE 0 END),
  SUM(tokens_in), SUM(tokens_out), SUM(tokens_cached), SUM(COALESCE(cost, 0)),
  SUM(COALESCE(silence_avoided, 0)), SUM(CASE WHEN is_estimated THEN 1 ELSE 0 END)
FROM llm_connection_usage WHERE at >= {since} AND at < {until}
"""


def moment(database: Database, at: datetime) -> str:
    """Returns a time as SQL of the database."""
    written = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return f"'{written}'" if database.dialect == "sqlite" else f"TIMESTAMPTZ '{written}+00'"


async def by_hand(database: Database, since: datetime, until: datetime) -> list[Any]:
    query = BY_HAND.format(since=moment(database, since), until=moment(database, until))
    async with database.reading() as db:
        return [each or 0 for each in (await db.execute(text(query))).one()]


def listed(of: Figures) -> list[Any]:
    return [
        of.attempts, of.requests, of.failed, of.hedges_won, of.tokens_in, of.tokens_out,
        of.tokens_cached, of.cost, of.silence_avoided, of.estimated,
    ]  # fmt: skip


def every_half_hour(begins: datetime, hours: int) -> Sequence[UsageRecord]:
    """Makes attempts, some without a price, without a word, without tokens, or free of charge."""
    start = begins.astimezone(UTC) - 2 * HOUR
    return [
        attempt(
            at=start + place * HOUR / 2,
            reply_id=str(place),
            role=("first", "hedge", "failover")[place % 3],
            outcome=("won", "silent", "lost", "unreachable")[place % 4],
            delivered=place % 2 == 0,
            ttft=None if place % 4 else 0.2,
            cost=(None, 0.0, 0.25)[place % 3],
            silence_avoided=(None, 0.5)[place % 2],
            tokens_in=0 if place % 5 else 2**31 - 1,
            is_estimated=place % 3 == 1,
        )
        for place in range(2 * (hours + 4))
    ]


SPANS = {
    "a day whose clocks are put back": (PUT_BACK, 25),
    "a day whose clocks are put forward": (PUT_FORWARD, 23),
    "a zone that is not whole hours from UTC": (datetime(2026, 5, 4, tzinfo=KATHMANDU), 24),
    "a leap day": (datetime(2028, 2, 29, tzinfo=UTC), 24),
    "the turn of a year": (datetime(2026, 12, 31, 12, tzinfo=UTC), 24),
}


@pytest.mark.parametrize("name", SPANS)
async def test_sums_and_hours_are_those_of_sql_by_hand(database: Database, name: str) -> None:
    begins, hours = SPANS[name]
    await UsageLog(database).append(every_half_hour(begins, hours))
    until = begins.astimezone(UTC) + hours * HOUR
    span = Span(since=begins, until=until.astimezone(begins.tzinfo), by="hour")
    analytics = Analytics(database)
    for _ in range(2):  # from the log, then from the summaries
        [total] = (await analytics.figures(SYSTEM, span)).values()
        assert listed(total) == await by_hand(database, span.begins, span.ends)
        over_time = await analytics.figures(SYSTEM, span, ["at"])
        assert len(over_time) == (span.ends - span.begins) / HOUR
        for (at,), figures in over_time.items():
            assert listed(figures) == await by_hand(database, at, at + HOUR)
        while await roll_up(database):
            pass


async def test_one_attempt_and_none_are_those_of_sql_by_hand(database: Database) -> None:
    at = datetime(2026, 5, 4, 10, tzinfo=UTC)
    span = Span(since=at, until=at + HOUR)
    analytics = Analytics(database)
    assert listed((await analytics.figures(SYSTEM, span))[()]) == [0] * 10
    # The first moment of the hour belongs to it, that of the next one does not.
    await UsageLog(database).append([attempt(at=at), attempt(at=at + HOUR, cost=1.0)])
    for _ in range(2):
        [found] = (await analytics.figures(SYSTEM, span)).values()
        assert listed(found) == await by_hand(database, at, at + HOUR)
        assert (found.attempts, found.cost, found.ttft) == (1, 0.0, {})
        while await roll_up(database):
            pass


def test_a_span_across_clocks_that_are_put_back_has_all_its_hours() -> None:
    first = PUT_BACK.replace(hour=2, minute=30)
    again = first.replace(fold=1)
    assert Span(since=first, until=again).ends - Span(since=first, until=again).begins == 2 * HOUR
    two_days = Span(since=PUT_BACK, until=PUT_BACK + timedelta(days=2))
    assert two_days.unit == "day"  # it has 49 hours


async def test_figures_of_no_calls_are_none(database: Database) -> None:
    at = datetime(2026, 5, 4, 10, tzinfo=UTC)
    assert await call_figures(database, Span(since=at, until=at + HOUR), (), ["at"]) == [{}, {}]
