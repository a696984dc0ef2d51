"""Counts calls and their ends over a span of time."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Float, Select, cast, func, select

from llm_router.store.analytics import Span
from llm_router.store.call_tables import calls
from llm_router.store.database import Database, Dialect
from llm_router.store.dialects import start_of
from llm_router.voice.calls import CallKind

CallGroup = Literal["at", "assistant"]
_C = calls.c


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFigures:
    """Totals of calls. `seconds`: from answer to end, of those that have ended.

    `reasons` counts the ended ones by their reason, `kinds` all of them by their kind.
    """

    calls: int = 0
    answered: int = 0
    going_on: int = 0
    seconds: float = 0.0
    reasons: Mapping[str, int] = field(default_factory=dict)
    kinds: Mapping[str, int] = field(default_factory=dict)


async def call_figures(
    database: Database, span: Span, *groupings: Sequence[CallGroup], kind: CallKind | None = None
) -> list[dict[tuple[Any, ...], CallFigures]]:
    """Returns the figures of the calls that began in the span, by each grouping.

    Of the span's filters, only the assistant counts. Calls that were deleted, or whose time is
    over, are not counted. Raises StoreError.
    """
    found = [defaultdict[tuple[Any, ...], _Accumulator](_Accumulator) for _ in groupings]
    async with database.reading() as db:
        for row in (await db.execute(_query(span, kind, database.dialect))).mappings():
            for groups, by in zip(found, groupings, strict=True):
                groups[tuple(row[name] for name in by)].add(row)
    return [{key: groups[key].figures() for key in sorted(groups)} for groups in found]


def _query(span: Span, kind: CallKind | None, dialect: Dialect) -> Select[Any]:
    at = start_of(span.unit, _C.started_at, dialect)
    key = at.label("at"), _C.assistant, _C.kind, _C.state, _C.reason
    lasted = _seconds(_C.ended_at, dialect) - _seconds(_C.answered_at, dialect)
    figures = (
        func.count().label("calls"),
        func.count(_C.answered_at).label("answered"),
        func.coalesce(func.sum(lasted), 0.0).label("seconds"),
    )
    where = [_C.started_at >= span.begins, _C.started_at < span.ends]
    if span.assistant is not None:
        where.append(_C.assistant == span.assistant)
    if kind is not None:
        where.append(_C.kind == kind)
    return select(*key, *figures).where(*where).group_by(at, *key[1:])


def _seconds(time: ColumnElement[datetime], dialect: Dialect) -> ColumnElement[float]:
    if dialect == "postgresql":
        return cast(func.extract("epoch", time), Float)
    return func.julianday(time) * 86_400.0


class _Accumulator:
    """Adds up the rows of one group."""

    def __init__(self) -> None:
        self._sums: Counter[str] = Counter()
        self._seconds = 0.0
        self._reasons: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()

    def add(self, row: Mapping[str, Any]) -> None:
        number = row["calls"]
        self._sums["calls"] += number
        self._sums["answered"] += row["answered"]
        self._seconds += row["seconds"]
        self._kinds[row["kind"]] += number
        if row["state"] == "ended":
            self._reasons[row["reason"]] += number
        else:
            self._sums["going_on"] += number

    def figures(self) -> CallFigures:
        return CallFigures(
            calls=self._sums["calls"],
            answered=self._sums["answered"],
            going_on=self._sums["going_on"],
            seconds=round(self._seconds, 1),
            reasons=dict(self._reasons.most_common()),
            kinds=dict(self._kinds.most_common()),
        )
