"""Finds stored connections: the conditions and the order of a query, in SQL."""

from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, collate, false, func, or_, select, true

from llm_router.connections import rules
from llm_router.connections.access import Actor
from llm_router.connections.store import Query
from llm_router.store.database import Dialect
from llm_router.store.tables import connections

_C = connections.c


def visible_to(actor: Actor) -> ColumnElement[bool]:
    """Returns the condition for the connections that the actor may see, as `access.can_see`."""
    if actor.pools is not None:
        return and_(_C.pool.in_(actor.pools), visible_to(replace(actor, pools=None)))
    if actor.role == "admin":
        return true()
    own = _C.owner == actor.owner if actor.owner else false()
    shared = and_(_C.team == actor.team, _C.visibility != "private") if actor.team else false()
    visible = or_(_C.visibility == "everyone", own, shared)
    if actor.role != "worker":
        return visible
    serves_calls = and_(_C.use_in_livekit, _C.is_approved_for_calls)
    if not actor.owner and not actor.team:
        return serves_calls
    return and_(visible, serves_calls)


def conditions(query: Query, dialect: Dialect) -> list[ColumnElement[bool]]:
    """Returns what a connection must fulfil to match the query."""
    found: list[ColumnElement[bool]] = [
        _C[name] == value
        for name in rules.EXACT_MATCH_FIELDS
        if (value := getattr(query, name)) is not None
    ]
    if query.text:
        found.append(_C.search.contains(query.text.casefold(), autoescape=True))
    items = func.json_each if dialect == "sqlite" else func.json_array_elements_text
    for tag in query.tags:
        item = items(_C.tags).table_valued("value")
        found.append(select(item.c.value).where(item.c.value == tag).exists())
    return found


def ordered(rows: Select[Any], query: Query, dialect: Dialect) -> Select[Any]:
    """Sorts by code point, so that the order does not depend on the database's locale."""
    column = _C["search" if query.sort == "name" else query.sort]
    if query.sort in {"name", "status"}:
        key: ColumnElement[Any] = _by_code_point(column, dialect)
    else:
        key = column
    by_key = (key.desc() if query.descending else key.asc()).nulls_last()
    return rows.order_by(by_key, _by_code_point(_C.id, dialect))


def _by_code_point(column: ColumnElement[Any], dialect: Dialect) -> ColumnElement[Any]:
    return collate(column, "BINARY" if dialect == "sqlite" else "C")
