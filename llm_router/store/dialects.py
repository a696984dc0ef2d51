"""What SQLite and PostgreSQL say differently."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Table, Text, func, literal_column, type_coerce
from sqlalchemy.dialects import postgresql, sqlite

from llm_router.store.database import Dialect
from llm_router.store.tables import UtcDateTime

TimeUnit = Literal["hour", "day"]

_TEXT = {"hour": (13, ":00:00.000000"), "day": (10, " 00:00:00.000000")}
"""How much of SQLite's text of a time says which it is in, and how the beginning of it goes on."""


def insert(table: Table, dialect: Dialect) -> "sqlite.Insert | postgresql.Insert":
    """One that knows `on_conflict_do_update`."""
    of: dict[str, Callable[[Table], Any]] = {
        "sqlite": sqlite.insert,
        "postgresql": postgresql.insert,
    }
    made: sqlite.Insert | postgresql.Insert = of[dialect](table)
    return made


def start_of(unit: TimeUnit, time: ColumnElement[Any], dialect: Dialect) -> ColumnElement[datetime]:
    """When the hour or the day (UTC) began that the time is in."""
    if dialect == "postgresql":
        return type_coerce(
            func.date_trunc(text_literal(unit), time, text_literal("UTC")), UtcDateTime
        )
    length, rest = _TEXT[unit]
    begun = func.substr(time, literal_column("1"), literal_column(str(length)))
    return type_coerce(begun.op("||")(text_literal(rest)), UtcDateTime)


def text_literal(constant: str) -> ColumnElement[str]:
    """A text of our own, in the statement itself rather than beside it: to group by what it is part
    of, the database must see that it is the same each time.
    """
    return literal_column(f"'{constant}'", Text)
