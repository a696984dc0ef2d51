"""Tests the rotation of the master key, over every sealed column, row by row."""

from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import update

from llm_router.connections.access import SYSTEM
from llm_router.connections.store import Query
from llm_router.errors import SealError
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.crypto import Vault
from llm_router.store.database import Database
from llm_router.store.sealing import (
    SEALED_COLUMNS,
    ResealResult,
    holds_secrets,
    reseal,
    seal_binding,
)
from llm_router.store.tables import connections, webhooks
from tests.contracts.stores import HEADERS, KEY, added, connection

OLD_KEY, NEW_KEY = (Fernet.generate_key().decode() for _ in range(2))
OLD, BOTH, NEW = Vault([OLD_KEY]), Vault([NEW_KEY, OLD_KEY]), Vault([NEW_KEY])
NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def add_webhook(database: Database, vault: Vault) -> None:
    bound_to = seal_binding(webhooks, "w", "secret_sealed")
    row: dict[str, Any] = {
        "id": "w", "name": "w", "url": "https://host", "events": [], "is_active": True,
        "owner": "", "team": "", "created_at": NOW, "updated_at": NOW, "version": 1,
        "secret_sealed": vault.seal("whsec-0123456789", bound_to=bound_to),
    }  # fmt: skip
    async with database.writing() as db:
        await db.execute(webhooks.insert(), {**row})


def test_the_sealed_columns_are_found_by_their_name() -> None:
    assert SEALED_COLUMNS[connections] == ("api_key_sealed", "headers_sealed")
    assert SEALED_COLUMNS[webhooks] == ("secret_sealed",)
    assert seal_binding(webhooks, "7", "secret_sealed") == "webhooks:7:secret"


async def test_an_interrupted_rotation_can_be_finished_later(database: Database) -> None:
    old, both, new = (SqlConnectionStore(database, vault) for vault in (OLD, BOTH, NEW))
    for name in "abc":
        await added(old, name=name, id=name, api_key=f"{KEY}{name}", headers=HEADERS)
    await old.add(SYSTEM, [connection("none", id="none")])
    await both.change(SYSTEM, "a", {"api_key": KEY})  # already resealed by the interrupted run
    progress: list[tuple[int, int]] = []
    done = await reseal(database, BOTH, SYSTEM, NOW, lambda *counts: progress.append(counts))
    assert (done, progress) == (ResealResult(3), [(1, 3), (2, 3), (3, 3)])
    assert await reseal(database, BOTH, SYSTEM, NOW) == ResealResult(0)
    page = await new.find(SYSTEM, Query(), secrets=True)
    assert {c.id: (c.api_key, c.headers) for c in page.items} == {
        "a": (KEY, HEADERS), "b": (f"{KEY}b", HEADERS), "c": (f"{KEY}c", HEADERS),
        "none": (None, {}),
    }  # fmt: skip
    (entry,) = [e for e in await new.audit(SYSTEM) if e.kind == "master_key"]
    assert (entry.action, entry.after) == ("reseal", {"rows": 3, "broken": 0})


async def test_webhook_secrets_are_resealed_as_well(database: Database) -> None:
    await add_webhook(database, OLD)
    assert await reseal(database, BOTH, SYSTEM, NOW) == ResealResult(1)
    async with database.reading() as db:
        sealed = (await db.execute(webhooks.select())).mappings().one()["secret_sealed"]
    opened = NEW.open(sealed, bound_to=seal_binding(webhooks, "w", "secret_sealed"))
    assert opened == "whsec-0123456789"


async def test_a_value_that_cannot_be_opened_is_named_and_stops_no_other(
    database: Database,
) -> None:
    store = SqlConnectionStore(database, OLD)
    for name in "abc":
        await added(store, name=name, id=name, api_key=KEY)
    async with database.writing() as db:
        by_id = update(connections).where(connections.c.id == "b")
        await db.execute(by_id.values(api_key_sealed="garbage"))
    done = await reseal(database, BOTH, SYSTEM, NOW)
    assert done.rows == 2
    (counts,) = done.broken
    assert counts.startswith("llm_connections:b:api_key cannot be opened")
    new = SqlConnectionStore(database, NEW)
    assert (await new.get(SYSTEM, "c", secrets=True)).api_key == KEY
    with pytest.raises(SealError):
        await new.get(SYSTEM, "b", secrets=True)


async def test_holds_secrets_tells_whether_any_value_is_sealed(database: Database) -> None:
    await added(SqlConnectionStore(database, OLD), name="plain")
    assert not await holds_secrets(database)
    await add_webhook(database, OLD)
    assert await holds_secrets(database)
