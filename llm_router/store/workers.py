"""Stores what workers report about themselves, for people who watch them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select

from llm_router.store.database import Database
from llm_router.store.dialects import insert
from llm_router.store.worker_tables import workers
from llm_router.voice.workers import WorkerLoad, WorkerReport

_C = workers.c
_FORGOTTEN_AFTER = timedelta(hours=1)
_MOST = 1_000
"""Workers that are listed."""


class Workers:
    """The workers in a migrated database. Raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def report(self, worker: WorkerReport) -> None:
        """Stores a report in the place of the worker's last one; removes those of dead workers."""
        values = {
            "agent_name": worker.agent_name,
            "takes_calls": worker.takes_calls,
            "calls": worker.load.calls,
            "load": worker.load.load,
            "load_limit": worker.load.limit,
            "ready": worker.load.ready,
            "started_at": worker.started_at,
            "seen_at": worker.seen_at,
        }
        row = insert(workers, self._database.dialect).values(name=worker.name, **values)
        upsert = row.on_conflict_do_update(index_elements=["name"], set_=values)
        dead = _C.seen_at < worker.seen_at - _FORGOTTEN_AFTER
        async with self._database.writing(is_passing=True) as db:
            await db.execute(upsert)
            await db.execute(workers.delete().where(dead))

    async def remove(self, name: str) -> None:
        """Removes a worker that has ended."""
        async with self._database.writing() as db:
            await db.execute(workers.delete().where(_C.name == name))

    async def all(self, seen_since: datetime) -> Sequence[WorkerReport]:
        """Returns the workers that have reported since then, by name."""
        query = select(workers).where(_C.seen_at >= seen_since).order_by(_C.name).limit(_MOST)
        async with self._database.reading() as db:
            rows = (await db.execute(query)).mappings().all()
        return [
            WorkerReport(
                name=row["name"],
                agent_name=row["agent_name"],
                takes_calls=row["takes_calls"],
                load=WorkerLoad(
                    calls=row["calls"],
                    load=row["load"],
                    limit=row["load_limit"],
                    ready=row["ready"],
                ),
                started_at=row["started_at"],
                seen_at=row["seen_at"],
            )
            for row in rows
        ]
