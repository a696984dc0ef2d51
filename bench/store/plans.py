"""The query plans of some queries, as the database explains them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from bench.store.queries import ANALYTICS, RunQuery
from llm_router.store.database import Database

_EXPLAINED = (ANALYTICS[0], ANALYTICS[7], ANALYTICS[8])


async def explain(database: Database, queries: Mapping[str, RunQuery]) -> dict[str, list[str]]:
    """Returns the plan of every statement, by query."""
    return {name: await _plan(database, queries[name]) for name in _EXPLAINED}


async def _plan(database: Database, query: RunQuery) -> list[str]:
    with _recorded_statements(database) as statements:
        await query()
    explain = "EXPLAIN QUERY PLAN " if database.dialect == "sqlite" else "EXPLAIN (COSTS OFF) "
    lines = []
    async with database.reading() as db:
        for statement, parameters in statements:
            plan = await db.exec_driver_sql(explain + statement, parameters)
            lines += [str(row[-1]) for row in plan]
    return lines


@contextmanager
def _recorded_statements(database: Database) -> Iterator[Sequence[tuple[str, Any]]]:
    """Yields the list to which each statement that reads is added while the block runs."""
    statements: list[tuple[str, Any]] = []

    def record(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith(("SELECT", "WITH")):
            statements.append((statement, parameters))

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", record)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", record)
