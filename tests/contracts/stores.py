"""Actors, connections and stores of every kind, for the tests of stores."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from llm_router.clock import utc_now
from llm_router.connections.access import SYSTEM, Actor
from llm_router.connections.record import Connection
from llm_router.connections.store import OK, Check, ConnectionStore
from llm_router.options import HealthOptions
from llm_router.store.connections import open_store
from llm_router.store.crypto import Vault
from llm_router.stored_router import StoreOptions
from llm_router.testing import InMemoryConnectionStore
from llm_router.testing.server import FaultyServer
from tests.contracts.databases import Server

KEY = "sk-0123456789-wxyz"
HEADERS = {"X-Secret": "hdr-0123456789"}
MASTER_KEY = Fernet.generate_key().decode()
VAULT = Vault([MASTER_KEY])

ANNA = Actor("anna", "editor", owner="anna", team="red", origin="10.0.0.1")
BEN = Actor("ben", "editor", owner="ben", team="red")
CLEO = Actor("cleo", "editor", owner="cleo", team="blue")
CARL = Actor("carl", "editor", owner="carl", may_serve_calls=True)
VERA = Actor("vera", "viewer", owner="vera", team="red")
OTTO = Actor("otto", "operator", owner="otto", team="red")
WORKER = Actor("worker", "worker")
TEAM_WORKER = Actor("worker of red", "worker", team="red")
EVERYBODY = (SYSTEM, ANNA, BEN, CLEO, VERA, OTTO, WORKER, TEAM_WORKER)


def connection(name: str = "a", **fields: Any) -> Connection:
    return Connection(name=name, **{"base_url": "http://host:8000/v1", **fields})


async def added(
    store: ConnectionStore, actor: Actor = SYSTEM, name: str = "a", **fields: Any
) -> Connection:
    (stored,) = await store.add(actor, [connection(name, **fields)])
    return stored


async def tried(
    store: ConnectionStore, connection_id: str, outcome: str = OK, detail: str = ""
) -> Connection:
    """Records a test, which sets the status at once, and returns the connection."""
    check = Check(at=utc_now(), kind="test", outcome=outcome, detail=detail)
    return await store.record_check(SYSTEM, connection_id, check, HealthOptions())


def store_options(url: str, folder: Path, server: FaultyServer) -> StoreOptions:
    """Writes a file that names the server; returns options whose master key is not made yet."""
    row = {"name": "named", "base_url": server.base_url, "model_name": "m"}
    (folder / "connections.json").write_text(json.dumps([row]))
    return StoreOptions(
        database=url,
        master_key_file=folder / "master.key",
        connections_file=folder / "connections.json",
    )


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def server_or_none(request: pytest.FixtureRequest) -> Server | None:
    if request.param == "memory":
        return None
    server: Server = request.getfixturevalue(
        "postgres" if request.param == "postgresql" else "files"
    )
    return server


@pytest.fixture
async def store(server_or_none: Server | None) -> AsyncIterator[ConnectionStore]:
    """An empty store of each kind in turn."""
    if server_or_none is None:
        yield InMemoryConnectionStore()
        return
    async with open_store(await server_or_none.new(), VAULT) as store:
        yield store
