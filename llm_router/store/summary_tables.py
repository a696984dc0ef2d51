"""Defines the tables in which the usage log is summed up, by the hour and by the day."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, Float, Index, Integer, SmallInteger, Table

from llm_router.store.columns import METADATA, UtcDateTime, text

_BY_CONNECTION = ("connection_id", "pool", "integration")
_IN_ALL = ("pool", "integration", "assistant")
"""Columns by which attempts are summed up: one row for each connection would be too many to add up
while a person waits, where there are thousands. So there are totals over all of them too."""


def _summary_table(
    name: str, by: Sequence[str], key: Sequence[Column[Any]], *columns: Column[Any]
) -> Table:
    """Makes a summary table. `at`: start of the hour or day (UTC); `key`: further key columns."""
    at = Column("at", UtcDateTime, primary_key=True)
    named = (text(one, key=True) for one in by)
    indexes = [Index(None, "connection_id", "at")] if "connection_id" in by else []
    # Rows are stored in the order of the key: queries read a time range and group by what follows.
    return Table(name, METADATA, at, *key, *named, *columns, *indexes, sqlite_with_rowid=False)


def _sums_table(name: str, by: Sequence[str], *named: Column[Any]) -> Table:
    """Makes a table of sums. Replies, hedges and failovers are counts by role and outcome."""
    return _summary_table(
        name,
        by,
        [text("role", key=True), text("outcome", key=True)],
        *named,
        Column("attempts", Integer, nullable=False),
        Column("heard", Integer, nullable=False),
        Column("duration", Float, nullable=False),
        Column("silence_avoided", Float, nullable=False),
        Column("tokens_in", BigInteger, nullable=False),
        Column("tokens_out", BigInteger, nullable=False),
        Column("tokens_cached", BigInteger, nullable=False),
        Column("estimated", Integer, nullable=False),
        Column("cost", Float, nullable=False),
    )


def _times_table(name: str, by: Sequence[str]) -> Table:
    """Makes a table of histograms, whose sums over hours and connections still give quantiles."""
    return _summary_table(
        name,
        by,
        [
            text("measure", key=True),  # ttft, ttfc
            Column("bucket", SmallInteger, primary_key=True, autoincrement=False),
        ],
        Column("attempts", Integer, nullable=False),
    )


def _connection_sums(name: str) -> Table:
    return _sums_table(name, _BY_CONNECTION, text("model", key=True), text("connection_name"))


# They contain the attempts up to the id "usage" in `store_counters`.
usage_hourly = _connection_sums("llm_connection_usage_hourly")
usage_daily = _connection_sums("llm_connection_usage_daily")
times_hourly = _times_table("llm_connection_times_hourly", _BY_CONNECTION)
times_daily = _times_table("llm_connection_times_daily", _BY_CONNECTION)
total_usage_hourly = _sums_table("llm_usage_hourly", _IN_ALL)
total_usage_daily = _sums_table("llm_usage_daily", _IN_ALL)
total_times_hourly = _times_table("llm_times_hourly", _IN_ALL)
total_times_daily = _times_table("llm_times_daily", _IN_ALL)
