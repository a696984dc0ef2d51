"""Computes what connections did and cost over a span of time.

The figures come from the summaries, and for attempts not summarized yet from the usage log itself.
No attempt is counted twice or missed, since that part begins where the summaries end.
"""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import (
    CTE,
    ColumnElement,
    CompoundSelect,
    FromClause,
    func,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.connections.access import Actor
from llm_router.errors import ConfigurationError
from llm_router.store import usage as log
from llm_router.store.database import Database, Dialect
from llm_router.store.dialects import TimeUnit, start_of, text_literal
from llm_router.store.search import visible_to
from llm_router.store.summaries import MEASURES, SUMS, TABLES, summed_up_to, sums_of
from llm_router.store.tables import (
    connections,
    usage,
    usage_daily,
)
from llm_router.store.time_buckets import quantile
from llm_router.store.usage import UsageRecord

GroupBy = Literal["at", "connection_id", "pool", "integration"]

_FILTERS = ("connection_id", "pool", "integration")
_HOURS = timedelta(days=2)
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Selection of attempts: those that began from `begins` until `ends`.

    They are filtered by connection, pool and integration where given, and otherwise cover every
    connection that the actor may see. `since` and `until` are rounded down and up to whole hours or
    days (UTC), as `by` says. `by` defaults to the hour for up to two days, and to the day beyond: a
    month of hours takes too long to sum while a person waits.

    Raises ConfigurationError for an invalid or too long span.
    """

    since: datetime
    until: datetime
    by: TimeUnit | None = None
    connection_id: str | None = None
    pool: str | None = None
    integration: str | None = None

    def __post_init__(self) -> None:
        if self.since.tzinfo is None or self.until.tzinfo is None:
            raise ConfigurationError("since and until need a time zone")
        if self.since >= self.until:
            raise ConfigurationError("since must be before until")
        if self.by == "hour" and self.until - self.since > _HOURS:
            raise ConfigurationError("by the hour, a span may be at most two days")

    @property
    def unit(self) -> TimeUnit:
        return self.by or ("hour" if self.until - self.since <= _HOURS else "day")

    @property
    def begins(self) -> datetime:
        return _floor(self.since, self.unit)

    @property
    def ends(self) -> datetime:
        last = _floor(self.until - timedelta.resolution, self.unit)
        return last + timedelta(**{f"{self.unit}s": 1})


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Totals of attempts. Times in seconds, quantiles to 5 %; `cost` in the prices' currency.

    `requests` counts requests to the router, each of which has one first attempt. `failovers`,
    `retries`, `resumes` and hedges count the further attempts, by their role. `outcomes` are
    `won`, `lost`, `cancelled`, and the failure classes. `estimated`: attempts whose tokens the
    server did not count. `ttft` and `ttfc` map quantiles to the time to first word and to first
    clause (s), of the attempts that got so far.
    """

    requests: int = 0
    attempts: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    failed: int = 0
    failovers: int = 0
    retries: int = 0
    resumes: int = 0
    hedges_won: int = 0
    hedges_lost: int = 0
    silence_avoided: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    estimated: int = 0
    cost: float = 0.0
    ttft: Mapping[str, float] = field(default_factory=dict)
    ttfc: Mapping[str, float] = field(default_factory=dict)


GroupKey = tuple[Any, ...]
"""Values of the columns of `by`, in that order."""


class Analytics:
    """Queries usage on behalf of an actor, who sees the figures of the connections it may see.

    Only admins see the figures of removed connections.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def figures(
        self, actor: Actor, span: Span, by: Sequence[GroupBy] = ()
    ) -> dict[GroupKey, Figures]:
        """Returns the figures of each group, sorted by key; without `by`, one group with key ().

        The value of `at` is the start of the hour or day, as the span's unit. Raises StoreError.
        """
        queries = _Queries(actor, span, by, self._database.dialect)
        groups = defaultdict[GroupKey, _Accumulator](
            _Accumulator, {} if by else {(): _Accumulator()}
        )
        async with self._snapshot() as db:
            mark = await summed_up_to(db)
            for each in await db.execute(queries.sums(mark)):
                *_, role, outcome = key = each[: len(by) + 2]
                groups[tuple(key[:-2])].add(role, outcome, each[len(key) :])
            for each in await db.execute(queries.times(mark)):
                *key, measure, bucket, count = each
                groups[tuple(key)].times[measure][bucket] += count
        return {key: groups[key].figures() for key in sorted(groups)}

    async def names(self, connection_ids: Sequence[str]) -> dict[str, str]:
        """Returns the name of each connection; of a removed one, its last name."""
        daily = select(usage_daily.c.connection_id, func.max(usage_daily.c.connection_name))
        daily = daily.where(usage_daily.c.connection_id.in_(connection_ids))
        current = select(connections.c.id, connections.c.name)
        async with self._database.reading() as db:
            past = await db.execute(daily.group_by(usage_daily.c.connection_id))
            present = await db.execute(current.where(connections.c.id.in_(connection_ids)))
        return {row[0]: row[1] for row in [*past, *present]}

    async def spent_this_month(
        self, connection_ids: Sequence[str], now: datetime
    ) -> dict[str, float]:
        """Returns the cost of each connection this month (UTC), in the currency of its prices."""
        month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        spent = dict.fromkeys(connection_ids, 0.0)
        async with self._snapshot() as db:
            tail = _tail(await summed_up_to(db))
            for table in (usage_daily, tail):
                c = table.c
                costs = select(c.connection_id, func.sum(c.cost)).group_by(c.connection_id)
                these = c.connection_id.in_(connection_ids), c.at >= month
                for connection_id, cost in await db.execute(costs.where(*these)):
                    spent[connection_id] += cost or 0.0
        return spent

    async def latest(self, connection_id: str, limit: int = 50) -> tuple[UsageRecord, ...]:
        """Returns the latest attempts on a connection, newest first."""
        async with self._database.reading() as db:
            return await log.read_latest(db, connection_id, limit)

    async def reply(self, actor: Actor, reply_id: str) -> tuple[UsageRecord, ...]:
        """Returns the attempts of a reply, in order of their start.

        They are in the log within a second of its end, and for as long as the log keeps attempts.
        Those on connections that the actor may not see are left out.
        """
        async with self._database.reading() as db:
            return await log.read_reply(db, reply_id, *_visible(actor))

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[AsyncConnection]:
        """Opens a transaction in which the summaries and their end position are consistent."""
        async with self._database.reading() as db:
            if self._database.dialect == "postgresql":
                await db.execution_options(isolation_level="REPEATABLE READ")
            yield db


# ── Queries ──────────────────────────────────────────────────────────────────────────────────────


class _Queries:
    """Builds the two queries behind one result. Their first columns are the values of `by`."""

    def __init__(self, actor: Actor, span: Span, by: Sequence[GroupBy], dialect: Dialect) -> None:
        self._actor = actor
        self._span = span
        self._by = by
        self._dialect = dialect

    def sums(self, mark: int) -> CompoundSelect[Any]:
        """Selects the values of `by`, role, outcome, and `SUMS`."""
        (table, _), tail = TABLES[self._span.unit], _tail(mark)
        key = *self._columns(table), table.c.role, table.c.outcome
        summed = select(*key, *(func.sum(table.c[name]) for name in SUMS))
        latest = *self._columns(tail), tail.c.role, tail.c.outcome
        return union_all(
            summed.where(*self._where(table)).group_by(*key),
            select(*latest, *sums_of(tail).values()).where(*self._where(tail)).group_by(*latest),
        )

    def times(self, mark: int) -> CompoundSelect[Any]:
        """Selects the values of `by`, measure, bucket, and number of attempts."""
        (_, table), tail = TABLES[self._span.unit], _tail(mark)
        key = *self._columns(table), table.c.measure, table.c.bucket
        counted = select(*key, func.sum(table.c.attempts))
        parts = [counted.where(*self._where(table)).group_by(*key)]
        for measure in MEASURES:
            bucket = tail.c[f"{measure}_bucket"]
            latest = self._columns(tail)
            counted = select(*latest, text_literal(measure), bucket, func.count())
            measured = *self._where(tail), bucket.is_not(None)
            parts.append(counted.where(*measured).group_by(*latest, bucket))
        return union_all(*parts)

    def _columns(self, source: FromClause) -> list[ColumnElement[Any]]:
        return [
            start_of(self._span.unit, source.c.at, self._dialect)
            if name == "at" and isinstance(source, CTE)
            else source.c[name]
            for name in self._by
        ]

    def _where(self, source: FromClause) -> list[ColumnElement[bool]]:
        c = source.c
        span = self._span
        filters = {name: getattr(span, name) for name in _FILTERS}
        where = [c.at >= span.begins, c.at < span.ends]
        where += [c[name] == value for name, value in filters.items() if value is not None]
        return [*where, *_visible(self._actor, c.connection_id)]


def _visible(
    actor: Actor, column: ColumnElement[str] = usage.c.connection_id
) -> list[ColumnElement[bool]]:
    """Returns the condition for attempts on connections that the actor may see; none for an admin
    of all pools, who sees removed ones as well.
    """
    if actor.role == "admin" and actor.pools is None:
        return []
    return [column.in_(select(connections.c.id).where(visible_to(actor)))]


def _tail(mark: int) -> CTE:
    """Selects the part of the log after the summaries, as a materialized CTE.

    Selected by id first, these are few rows. By time or connection, the database's planner may
    underestimate them and read the whole log.
    """
    return select(usage).where(usage.c.id > mark).cte("tail").prefix_with("MATERIALIZED")


def _floor(time: datetime, unit: TimeUnit) -> datetime:
    hour = time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return hour if unit == "hour" else hour.replace(hour=0)


# ── Results ──────────────────────────────────────────────────────────────────────────────────────


class _Accumulator:
    """Adds up the rows of one group."""

    def __init__(self) -> None:
        self._sums: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._roles: Counter[str] = Counter()
        self._delivered: Counter[str] = Counter()
        self.times: dict[str, Counter[int]] = {measure: Counter() for measure in MEASURES}

    def add(self, role: str, outcome: str, sums: Sequence[Any]) -> None:
        values = dict(zip(SUMS, sums, strict=True))
        for name, value in values.items():
            self._sums[name] += value  # PostgreSQL's sums may be Decimal; Figures has plain numbers
        self._outcomes[outcome] += values["attempts"]
        self._roles[role] += values["attempts"]
        self._delivered[role] += values["heard"]

    def figures(self) -> Figures:
        sums = self._sums
        no_failure = ("won", "lost", "cancelled")
        return Figures(
            requests=self._roles["first"],
            attempts=int(sums["attempts"]),
            outcomes=dict(sorted(self._outcomes.items())),
            failed=sum(n for outcome, n in self._outcomes.items() if outcome not in no_failure),
            failovers=self._roles["failover"],
            retries=self._roles["retry"],
            resumes=self._roles["resume"],
            hedges_won=self._delivered["hedge"],
            hedges_lost=self._roles["hedge"] - self._delivered["hedge"],
            silence_avoided=float(sums["silence_avoided"]),
            tokens_in=int(sums["tokens_in"]),
            tokens_out=int(sums["tokens_out"]),
            tokens_cached=int(sums["tokens_cached"]),
            estimated=int(sums["estimated"]),
            cost=float(sums["cost"]),
            ttft=_quantiles(self.times["ttft"]),
            ttfc=_quantiles(self.times["ttfc"]),
        )


def _quantiles(counts: Mapping[int, int]) -> dict[str, float]:
    if not counts:
        return {}
    return {name: quantile(counts, q) for name, q in _QUANTILES.items()}
