"""Tests that a file of connections takes little work, and that quotas limit how many are stored."""

import asyncio
import json
import resource
from typing import Any

import pytest
from sqlalchemy import event

from llm_router.connections.access import SYSTEM, WORKER
from llm_router.connections.store import ConnectionStore, Query
from llm_router.discovery.formats import Format, parse
from llm_router.errors import ConfigurationError, QuotaError
from llm_router.options import Quota
from llm_router.store.connections import SqlConnectionStore
from llm_router.testing import InMemoryConnectionStore
from tests.contracts.databases import Files, opened
from tests.contracts.gateway import PUBLIC, Gateway, gateway_on, problem
from tests.contracts.stores import ANNA, BEN, VAULT, connection

MANY = 40_000
ROW = {"name": "a", "base_url": PUBLIC}
CPU_SECONDS = 3.0
"""Upper limit for one file, on a slow machine: a quadratic one takes minutes."""


def rows(count: int, **fields: Any) -> str:
    return json.dumps([{**ROW, "name": f"a{i}", **fields} for i in range(count)])


HOSTILE: dict[str, tuple[Format, str]] = {
    "rows of one name": ("connections", json.dumps([ROW] * MANY)),
    "many rows": ("connections", rows(MANY // 2)),
    "one field many times": ("connections", "[{" + '"name": "a",' * MANY + '"name": "a"}]'),
    "the last field twice": (
        "connections",
        "[{" + "".join(f'"n{i}": 1,' for i in range(MANY)) + f'"n{MANY - 1}": 1}}]',
    ),
    "fields that are almost ours": (
        "connections",
        json.dumps([{**ROW, **{f"nam{i}e": 1 for i in range(MANY)}}]),
    ),
    "long names of fields": ("connections", json.dumps([{**ROW, "n" * 1_000_000: 1}])),
    "arrays in arrays": ("connections", "[" * 1_000_000),
    "comments that do not end": ("connections", "/*" * 900_000),
    "commas": ("connections", "[" + "," * 1_900_000),
    "slashes": ("connections", "/" * 1_900_000),
    "quotes": ("connections", '"' * 1_900_000),
    "backslashes": ("connections", '"' + "\\" * 1_900_000),
    "many models": (
        "openai_compatible",
        json.dumps([{"provider": "p", "baseUrl": PUBLIC, "models": [{"apiName": "m"}] * MANY}]),
    ),
    "many providers": (
        "openai_compatible",
        json.dumps([{"provider": "p", "baseUrl": PUBLIC, "models": [{"apiName": "m"}]}] * MANY),
    ),
    "quotes that do not match": ("env", "A='x\n" * MANY),
    "one quote": ("env", "A='" + "x\n" * 900_000),
    "variables": ("env", "".join(f"A{i}=b\n" for i in range(MANY * 4))),
    "addresses in one variable": ("env", f"OPENAI_BASE_URL={';'.join([PUBLIC] * MANY)}"),
    "addresses in many": (
        "env",
        "".join(f"OPENAI_A{i}_BASE_URL={PUBLIC}\n" for i in range(MANY)),
    ),
    "a long name": ("env", f"OPENAI{'_BASE' * 300_000}=b"),
    "blanks": ("env", f"A={' ' * 1_900_000}b"),
    "a short file of quotes": ("env", "A='x\n" * 12_000),
    "a short file of addresses": ("env", f"OPENAI_BASE_URL={';'.join(['a:1'] * 12_000)}"),
    "a short file of names": ("env", f"OPENAI{'_URL_BASE' * 7_000}=b"),
}
"""Files of up to 2 MB that an editor may send, by what is odd about them."""

HARMLESS = {"long names of fields"}
"""Read with a warning."""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_takes_little_work(name: str) -> None:
    format_, text = HOSTILE[name]
    warnings: list[str] = []
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_utime
    said = ""
    try:
        parse(text, format_, "the body", {}, warnings.append)
    except ConfigurationError as refusal:
        said = str(refusal)
    assert (said != "") == (name not in HARMLESS)
    assert resource.getrusage(resource.RUSAGE_THREAD).ru_utime - before < CPU_SECONDS
    assert len(said) < 2_000
    assert sum(map(len, warnings)) < 20_000


async def test_a_file_is_read_beside_other_requests(gateway: Gateway) -> None:
    """2,000 connections take a while to read; the process answers others meanwhile."""
    answers: list[int] = []

    async def ask() -> None:
        while not upload.done():
            answers.append((await gateway.call("viewer", "GET", "/connections")).status_code)

    body = json.loads(rows(2_000, tags=["a", "b"]))
    upload = asyncio.ensure_future(gateway.call("editor", "POST", "/connections/import", body))
    await ask()
    problem(await upload, 409, "quota-reached")
    assert len(answers) > 3
    assert set(answers) == {200}


async def test_nothing_is_stored_beyond_a_quota(files: Files) -> None:
    quota = Quota(per_owner=3, in_all=6)
    async with opened(await files.new()) as database:
        store = SqlConnectionStore(database, VAULT, quota=quota)
        async with gateway_on(database.url.render_as_string(hide_password=False), store) as api:
            for i in range(3):
                await api.connection(name=f"a{i}")
            refused = await api.call("editor", "POST", "/connections", {**ROW, "name": "b"})
            problem(refused, 409, "quota-reached")
            assert "MAX_CONNECTIONS_PER_OWNER" in refused.json()["detail"]
            await api.connection("stranger", name="another owner's")
            steps = json.loads(rows(2))
            assert (await api.call("admin", "POST", "/connections/import", steps)).is_success
            refused = await api.call("admin", "POST", "/connections", {**ROW, "name": "b"})
            problem(refused, 409, "quota-reached")
            assert (await store.find(SYSTEM, Query())).total == 6


@pytest.fixture(params=["memory", "sqlite"])
async def bounded(request: pytest.FixtureRequest, files: Files) -> Any:
    quota = Quota(per_owner=2, in_all=5)
    if request.param == "memory":
        yield InMemoryConnectionStore(quota=quota)
        return
    async with opened(await files.new()) as database:
        yield SqlConnectionStore(database, VAULT, quota=quota)


async def test_every_way_to_more_connections_ends_at_the_quota(bounded: ConnectionStore) -> None:
    mine = await bounded.add(ANNA, [connection("a"), connection("b")])
    with pytest.raises(QuotaError, match="anna would have 3"):
        await bounded.add(ANNA, [connection("c")])
    given = await bounded.add(SYSTEM, [connection("given", owner="anna")])  # an admin may
    assert given[0].owner == "anna"
    await bounded.change(ANNA, mine[0].id, {"priority": 3})  # what is there can be edited
    await bounded.remove(ANNA, mine[0].id)
    with pytest.raises(QuotaError, match="would be 6 connections"):
        await bounded.add(BEN, [connection(name) for name in "abcd"])
    assert (await bounded.find(SYSTEM, Query())).total == 2


async def test_many_are_added_with_few_statements(files: Files) -> None:
    """Other processes wait for a writer: it must not take a statement or three a connection."""
    async with opened(await files.new()) as database:
        store = SqlConnectionStore(database, VAULT)
        statements: list[str] = []
        listen_to(database, statements)
        await store.add(SYSTEM, [connection(f"c{i}") for i in range(1_000)])
        assert len(statements) < 20
        assert len((await store.find(WORKER, Query(limit=None))).items) == 1_000


def listen_to(database: Any, statements: list[str]) -> None:
    @event.listens_for(database.engine.sync_engine, "before_cursor_execute")
    def count(_: Any, __: Any, statement: str, *rest: Any) -> None:
        statements.append(statement)
