"""Builds the expressions that differ between SQLite and PostgreSQL."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Table, Text, func, literal_column, type_coerce
from sqlalchemy.dialects import postgresql, sqlite

from llm_router.store.columns import UtcDateTime
from llm_router.store.database import Dialect

TimeUnit = Literal["hour", "day"]

_START_TEXT = {"hour": (13, ":00:00.000000"), "day": (10, " 00:00:00.000000")}
"""Length of the prefix of SQLite's time text that names the unit, and the rest at its start."""


def insert(table: Table, dialect: Dialect) -> "sqlite.Insert | postgresql.Insert":
    """Makes an INSERT that supports `on_conflict_do_update`."""
    constructors: dict[str, Callable[[Table], Any]] = {
        "sqlite": sqlite.insert,
        "postgresql": postgresql.insert,
    }
    statement: sqlite.Insert | postgresql.Insert = constructors[dialect](table)
    return statement


def start_of(unit: TimeUnit, time: ColumnElement[Any], dialect: Dialect) -> ColumnElement[datetime]:
    """Returns the start of the hour or day (UTC) that contains the time."""
    if dialect == "postgresql":
        return type_coerce(
            func.date_trunc(text_literal(unit), time, text_literal("UTC")), UtcDateTime
        )
    length, rest = _START_TEXT[unit]
    prefix = func.substr(time, literal_column("1"), literal_column(str(length)))
    return type_coerce(prefix.op("||")(text_literal(rest)), UtcDateTime)


def text_literal(constant: str) -> ColumnElement[str]:
    """Inlines a constant text into the statement instead of binding it as a parameter.

    To group by an expression that contains it, the database must see that it is always the same.
    """
    return literal_column(f"'{constant}'", Text)
