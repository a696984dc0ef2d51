"""Fills a store for the console: connections, attempts, calls, words, and what else pages show."""

import asyncio
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection

from bench.full_store.fill import (
    ATTEMPTS_A_CALL,
    add_connections,
    draw_attempts,
    fill,
)
from bench.full_store.words import fill_words, make_receipt
from llm_router.clock import SystemClock, utc_now
from llm_router.store.calls import CallStore
from llm_router.store.crypto import Vault
from llm_router.store.database import Database
from llm_router.store.migrations import migrate
from llm_router.store.summaries import roll_up
from llm_router.voice.calls import CallAgent, CallFacts, CallItem
from tests.contracts.databases import opened

PERIOD = timedelta(days=90)
_SEED = 2026
_WITH_WORDS = 0.1
"""Share of the calls, the latest, of which the words are stored."""
_MEMORY = Path("/dev/shm")


LONG_CALL = "room-long"
LONG = 400
"""Items of the longest call that is stored."""
_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Amount:
    """How much is stored."""

    connections: int
    attempts: int

    @property
    def calls(self) -> int:
        return self.attempts // ATTEMPTS_A_CALL

    @property
    def with_words(self) -> int:
        return int(self.calls * _WITH_WORDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """A filled store. `key`: its master key; `samples`: attempts like those in it."""

    url: str
    key: str
    dialect: str
    amount: Amount
    samples: Sequence[Mapping[str, Any]]


def fill_store(url: str, amount: Amount) -> Stock:
    """Fills the database at `url`; blocks for a minute or two.

    A SQLite file is filled in memory, where there is a folder for that, and moved at the end.
    """
    key = Fernet.generate_key().decode()
    samples = draw_attempts(_SEED, amount.connections)
    path = make_url(url).database or ""
    if not url.startswith("sqlite") or not _MEMORY.is_dir():
        asyncio.run(fill_database(url, key, amount, samples))
    else:
        with tempfile.TemporaryDirectory(dir=_MEMORY) as folder:
            made = Path(folder) / "store.sqlite3"
            asyncio.run(fill_database(f"sqlite:///{made}", key, amount, samples))
            shutil.move(made, path)
    dialect = make_url(url).get_backend_name()
    return Stock(url=url, key=key, dialect=dialect, amount=amount, samples=samples[:LONG])


async def fill_database(
    url: str, key: str, amount: Amount, samples: Sequence[dict[str, Any]]
) -> None:
    """Fills the database at `url`, whose secrets are sealed with the master key `key`."""
    until = utc_now(SystemClock())
    async with opened(url) as database, database.unhurried() as unhurried:
        if database.dialect == "sqlite":
            event.listen(database.engine.sync_engine, "connect", _work_in_memory)
        await migrate(database)
        await add_connections(database, Vault([key]), amount.connections)
        numbers = range(amount.attempts)
        await fill(
            unhurried, numbers, amount.attempts, samples, lambda _: None,
            until=until, period=PERIOD,
        )  # fmt: skip
        await _fill_words(unhurried, amount, samples, until)
        while await roll_up(unhurried, amount.attempts):
            pass


def _work_in_memory(connection: DBAPIConnection, _: object) -> None:
    """Sorts in memory, and waits for no disk: a store that is half filled is of no use."""
    cursor = connection.cursor()
    for pragma in ("temp_store = MEMORY", "cache_size = -1000000", "synchronous = OFF"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


async def _fill_words(
    database: Database, amount: Amount, samples: Sequence[dict[str, Any]], until: datetime
) -> None:
    latest = range(amount.calls - amount.with_words, amount.calls)
    await fill_words(database, latest, samples, until - PERIOD * _WITH_WORDS)
    await _talk_long(CallStore(database), samples, until)


async def _talk_long(
    calls: CallStore, samples: Sequence[Mapping[str, Any]], until: datetime
) -> None:
    agent, facts = CallAgent(identity="a", worker="w", job="j"), CallFacts(keep="transcript")
    call = await calls.claim(LONG_CALL, 1, agent, until, facts)
    assert call is not None
    items = [make_item(place, samples[place], until) for place in range(LONG)]
    for begin in range(0, LONG, _AT_ONCE):
        await calls.append(call.id, items[begin : begin + _AT_ONCE], until)
    await calls.end(call.id, "caller left", until)


def make_item(place: int, sample: Mapping[str, Any], at: datetime) -> CallItem:
    """Returns what is said at this place of a call: by the caller, and by the agent in turn."""
    is_reply = place % 2 == 1
    return CallItem(
        id=f"item-{place}",
        role="assistant" if is_reply else "user",
        text=f"This is what was said as number {place}.",
        receipt=make_receipt(sample) if is_reply else {},
        created_at=at,
    )
