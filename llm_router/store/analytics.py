"""Computes what connections did and cost over a span of time.

The figures come from the summaries, and for attempts not summarized yet from the usage log itself.
No attempt is counted twice or missed, since that part begins where the summaries end.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import (
    CTE,
    ColumnElement,
    CompoundSelect,
    FromClause,
    Subquery,
    Table,
    func,
    literal_column,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.connections.access import Actor
from llm_router.errors import ConfigurationError, ForbiddenError
from llm_router.store import usage as log
from llm_router.store.database import Database, Dialect
from llm_router.store.dialects import TimeUnit, start_of, text_literal
from llm_router.store.search import visible_to
from llm_router.store.summaries import MEASURES, SUMS, TABLES, TOTALS, summed_up_to, sums_of
from llm_router.store.summary_tables import usage_daily
from llm_router.store.tables import connections, usage
from llm_router.store.usage import UsageRecord
from llm_router.store.usage_figures import NO_FAILURE, Figures, FigureSums

GroupBy = Literal["at", "connection_id", "pool", "integration", "assistant"]
Order = Literal["attempts", "failed", "cost"]

_FILTERS = ("connection_id", "pool", "integration", "assistant")
_EMPTY: ColumnElement[str] = literal_column("''")
_HOURS = timedelta(days=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Selection of attempts: those that began from `begins` until `ends`.

    They are filtered by connection, pool, integration and assistant where given, and otherwise
    cover every connection that the actor may see. `since` and `until` are rounded down and up to
    whole hours or days (UTC), as `by` says. `by` defaults to the hour for up to two days, and to
    the day beyond: a month of hours takes too long to sum while a person waits.

    Raises ConfigurationError for an invalid or too long span.
    """

    since: datetime
    until: datetime
    by: TimeUnit | None = None
    connection_id: str | None = None
    pool: str | None = None
    integration: str | None = None
    assistant: str | None = None

    def __post_init__(self) -> None:
        if self.since.tzinfo is None or self.until.tzinfo is None:
            raise ConfigurationError("since and until need a time zone")
        for name in ("since", "until"):
            # Within one zone, Python subtracts the hours on the clock, also where it was put back.
            object.__setattr__(self, name, getattr(self, name).astimezone(UTC))
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


GroupKey = tuple[Any, ...]
"""Values of the columns of `by`, in that order."""


def counts_assistants(actor: Actor, span: Span) -> bool:
    """Returns whether figures by assistant can be had."""
    return _sees_all(actor) and span.connection_id is None


class Analytics:
    """Queries usage on behalf of an actor, who sees the figures of the connections it may see.

    Only admins see the figures of removed connections.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def figures(
        self,
        actor: Actor,
        span: Span,
        by: Sequence[GroupBy] = (),
        *,
        among: Sequence[str] | None = None,
    ) -> dict[GroupKey, Figures]:
        """Returns the figures of each group, sorted by key; without `by`, one group with key ().

        The value of `at` is the start of the hour or day, as the span's unit. `among`: only these
        connections. Raises StoreError.
        """
        [found] = await self.groupings(actor, span, by, among=among)
        return found

    async def groupings(
        self,
        actor: Actor,
        span: Span,
        *groupings: Sequence[GroupBy],
        among: Sequence[str] | None = None,
    ) -> list[dict[GroupKey, Figures]]:
        """Returns the figures by each of several groupings, of one reading.

        By assistant, and with an assistant in the span, they are of all connections together: then
        no connection may be named. Raises StoreError, ForbiddenError for an actor who does not see
        all connections, and ConfigurationError.
        """
        names: list[GroupBy] = list(dict.fromkeys(name for by in groupings for name in by))
        places = [[names.index(name) for name in by] for by in groupings]
        found = [_groups(by) for by in groupings]
        queries = _Queries(actor, span, names, self._database.dialect, among)
        async with self._snapshot() as db:
            mark = await summed_up_to(db)
            for each in await db.execute(queries.sums(mark)):
                role, outcome, *sums = each[len(names) :]
                for groups, at in zip(found, places, strict=True):
                    groups[tuple(each[place] for place in at)].add(role, outcome, sums)
            for each in await db.execute(queries.times(mark)):
                measure, bucket, count = each[len(names) :]
                for groups, at in zip(found, places, strict=True):
                    groups[tuple(each[place] for place in at)].times[measure][bucket] += count
        return [{key: groups[key].figures() for key in sorted(groups)} for groups in found]

    async def leading(
        self, actor: Actor, span: Span, order: Order, limit: int, offset: int = 0
    ) -> tuple[list[str], int]:
        """Returns the ids of the connections with the most, and how many connections have any."""
        queries = _Queries(actor, span, ["connection_id"], self._database.dialect)
        async with self._snapshot() as db:
            totals = queries.totals(await summed_up_to(db), order)
            page = select(totals.c.connection_id, func.count().over())
            page = page.order_by(totals.c.total.desc(), totals.c.connection_id)
            rows = (await db.execute(page.limit(limit).offset(offset))).all()
            if rows or not offset:
                return [row[0] for row in rows], rows[0][1] if rows else 0
            count = await db.execute(select(func.count()).select_from(totals))
            return [], count.scalar_one()

    async def names(self, connection_ids: Sequence[str]) -> dict[str, str]:
        """Returns the name of each connection; of a removed one, its last name."""
        current = select(connections.c.id, connections.c.name)
        daily = select(usage_daily.c.connection_id, func.max(usage_daily.c.connection_name))
        async with self._database.reading() as db:
            present = await db.execute(current.where(connections.c.id.in_(connection_ids)))
            names = {row[0]: row[1] for row in present}
            removed = [one for one in connection_ids if one not in names]
            if removed:
                daily = daily.where(usage_daily.c.connection_id.in_(removed))
                past = await db.execute(daily.group_by(usage_daily.c.connection_id))
                names |= {row[0]: row[1] for row in past}
        return names

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

    def __init__(
        self,
        actor: Actor,
        span: Span,
        by: Sequence[GroupBy],
        dialect: Dialect,
        among: Sequence[str] | None = None,
    ) -> None:
        self._actor = actor
        self._span = span
        self._by = by
        self._dialect = dialect
        self._among = among
        self._tables = self._choose_tables()

    def _choose_tables(self) -> tuple[Table, Table]:
        """Returns the tables of totals, or those by connection where connections count apart.

        Raises ForbiddenError and ConfigurationError for figures that neither has.
        """
        names_one = self._span.connection_id is not None or self._among is not None
        if _sees_all(self._actor) and not names_one and "connection_id" not in self._by:
            return TOTALS[self._span.unit]
        if "assistant" in self._by or self._span.assistant is not None:
            if not _sees_all(self._actor):
                raise ForbiddenError("figures by assistant are of all connections: ask an admin")
            raise ConfigurationError(
                "figures by assistant are of all connections: leave out the connection"
            )
        return TABLES[self._span.unit]

    def sums(self, mark: int) -> CompoundSelect[Any]:
        """Selects the values of `by`, role, outcome, and `SUMS`."""
        (table, _), tail = self._tables, _tail(mark)
        key = *self._columns(table), table.c.role, table.c.outcome
        summed = select(*key, *(func.sum(table.c[name]) for name in SUMS))
        latest = *self._columns(tail), tail.c.role, tail.c.outcome
        return union_all(
            summed.where(*self._where(table)).group_by(*key),
            select(*latest, *sums_of(tail).values()).where(*self._where(tail)).group_by(*latest),
        )

    def totals(self, mark: int, order: Order) -> Subquery:
        """Selects each connection with the total by which they are put in order."""
        (table, _), tail = self._tables, _tail(mark)
        parts = []
        for source, sums in ((table, table.c), (tail, sums_of(tail))):
            summed = sums["cost" if order == "cost" else "attempts"]
            if source is table:
                summed = func.sum(summed)
            if order == "failed":
                summed = summed.filter(source.c.outcome.not_in(NO_FAILURE))
            by = self._in_order_of_time(source.c.connection_id)
            part = select(by.label("connection_id"), func.coalesce(summed, 0).label("total"))
            parts.append(part.where(*self._where(source)).group_by(by))
        both = union_all(*parts).subquery("both")
        summed_up = select(both.c.connection_id, func.sum(both.c.total).label("total"))
        return summed_up.group_by(both.c.connection_id).subquery("totals")

    def _in_order_of_time(self, column: ColumnElement[str]) -> ColumnElement[str]:
        """Returns the column to group by where a span of time is read.

        SQLite would else go through the whole table in the order of that column's index.
        """
        return column.op("||")(_EMPTY) if self._dialect == "sqlite" else column

    def times(self, mark: int) -> CompoundSelect[Any]:
        """Selects the values of `by`, measure, bucket, and number of attempts."""
        (_, table), tail = self._tables, _tail(mark)
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
        if self._among is not None:
            where.append(c.connection_id.in_(self._among))
        if not _sees_all(self._actor):
            where += _visible(self._actor, c.connection_id)
        return where


def _visible(
    actor: Actor, column: ColumnElement[str] = usage.c.connection_id
) -> list[ColumnElement[bool]]:
    """Returns the condition for attempts on connections that the actor may see; none for an admin
    of all pools, who sees removed ones as well.
    """
    if _sees_all(actor):
        return []
    return [column.in_(select(connections.c.id).where(visible_to(actor)))]


def _sees_all(actor: Actor) -> bool:
    return actor.role == "admin" and actor.pools is None


def _tail(mark: int) -> CTE:
    """Selects the part of the log after the summaries, as a materialized CTE.

    Selected by id first, these are few rows. By time or connection, the database's planner may
    underestimate them and read the whole log.
    """
    return select(usage).where(usage.c.id > mark).cte("tail").prefix_with("MATERIALIZED")


def _floor(time: datetime, unit: TimeUnit) -> datetime:
    hour = time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return hour if unit == "hour" else hour.replace(hour=0)


def _groups(by: Sequence[GroupBy]) -> defaultdict[GroupKey, FigureSums]:
    return defaultdict(FigureSums, {} if by else {(): FigureSums()})
