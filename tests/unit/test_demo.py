"""Tests which connections the demo stores, and which ones the page lists."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from agent.demo import Demo, demo_router, store_found
from config.settings import Settings
from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection
from llm_router.connections.store import Check, Query
from llm_router.discovery.discover import DiscoveryOptions, DiscoveryResult, find_connections
from llm_router.options import HealthOptions
from llm_router.testing import InMemoryConnectionStore

FILE = """[
  {"name": "cellar", "base_url": "http://127.0.0.1:1/v1", "model": "m", "api_key": "sk-1"},
  {"name": "cloud", "base_url": "http://127.0.0.1:2/v1", "model": "n", "priority": 10}
]"""
DESK = Connection(id="1", name="desk", base_url="http://127.0.0.1:3/v1", model_name="o")


async def found(folder: Path) -> DiscoveryResult:
    (folder / "mine.json").write_text(FILE)
    return await find_connections(folder / "mine.json", {}, DiscoveryOptions(local=()))


async def demo_page(
    found: DiscoveryResult,
    store: InMemoryConnectionStore,
    *,
    is_demo: bool = True,
    names: bool = True,
) -> Demo:
    app = FastAPI()
    app.include_router(
        demo_router(store, found, agent_name="desk", language="en", is_demo=is_demo, names=names)
    )
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://patchbay.test") as client:
        return Demo.model_validate((await client.get("/api/demo")).json())


def listed(demo: Demo) -> list[tuple[str, str]]:
    return [(c.name, c.source) for c in demo.connections]


async def test_stored_connections_replace_those_that_were_found(tmp_path: Path) -> None:
    there = await found(tmp_path)
    assert there.replaced_by([]) is there
    active = there.replaced_by([DESK])
    assert [c.name for c in active.connections] == ["desk"]
    assert active.sources == {"desk": "stored"}
    assert [c.name for c in active.configured] == ["desk"]


async def test_the_demo_stores_what_it_found_once(tmp_path: Path) -> None:
    store, there = InMemoryConnectionStore(), await found(tmp_path)
    assert await store_found(store, there) == 2
    page = await store.find(SYSTEM, Query(), secrets=True)
    assert [(c.name, c.api_key) for c in page.items] == [("cellar", "sk-1"), ("cloud", None)]
    assert page.items[0].description == f"Stored by the demo: {tmp_path}/mine.json"
    assert await store_found(store, there) == 0
    for connection in page.items:  # connections removed on purpose do not come back
        await store.remove(SYSTEM, connection.id)
    assert await store_found(store, there) == 0


async def test_with_nothing_found_nothing_is_stored_until_a_later_start(
    tmp_path: Path,
) -> None:
    store = InMemoryConnectionStore()
    nothing = await find_connections(tmp_path / "none.json", {}, DiscoveryOptions(local=()))
    assert await store_found(store, nothing) == 0
    assert await store_found(store, await found(tmp_path)) == 2


async def test_the_page_lists_the_connections_in_use_now(tmp_path: Path) -> None:
    store, there = InMemoryConnectionStore(), await found(tmp_path)
    source = str(tmp_path / "mine.json")
    by_the_file = [("cellar", source), ("cloud", source)]
    assert listed(await demo_page(there, store)) == by_the_file
    await store_found(store, there)
    assert listed(await demo_page(there, store)) == [
        ("cellar", "stored"),
        ("cloud", "stored"),
    ]
    for connection in (await store.find(SYSTEM, Query())).items:
        await store.change(SYSTEM, connection.id, {"is_active": False})
    assert listed(await demo_page(there, store)) == by_the_file


async def test_the_demo_lists_connections_that_it_found_and_does_not_use(tmp_path: Path) -> None:
    store, there = InMemoryConnectionStore(), await found(tmp_path)
    assert (await demo_page(there, store)).unused == []
    await store.add(SYSTEM, [DESK, there.connections[0]])
    assert [c.name for c in (await demo_page(there, store)).unused] == ["cloud"]


async def test_the_demo_warns_of_a_stored_connection_whose_last_check_failed(
    tmp_path: Path,
) -> None:
    store, there = InMemoryConnectionStore(), await found(tmp_path)
    (desk,) = await store.add(SYSTEM, [DESK])
    assert desk.updated_at
    later = desk.updated_at + timedelta(seconds=1)
    failed = Check(at=later, outcome="unreachable", detail="no answer from 127.0.0.1:3")
    await store.record_check(SYSTEM, desk.id, failed, HealthOptions())
    (warning,) = (await demo_page(there, store)).warnings
    assert warning.startswith("desk did not pass its last check: no answer from 127.0.0.1:3; ")
    assert (await demo_page(there, store, is_demo=False)).warnings == []
    passed = Check(at=later + timedelta(seconds=1))
    await store.record_check(SYSTEM, desk.id, passed, HealthOptions())
    assert (await demo_page(there, store)).warnings == []


async def test_outside_the_demo_only_connections_visible_to_everyone_are_listed(
    tmp_path: Path,
) -> None:
    store, there = InMemoryConnectionStore(), await found(tmp_path)
    assert len((await demo_page(there, store, is_demo=False)).connections) == 2
    await store.add(SYSTEM, [DESK])
    demo = await demo_page(there, store, is_demo=False)
    assert listed(demo) == []
    assert not demo.offline
    assert demo.unused == []
    await store.change(SYSTEM, "1", {"visibility": "everyone"})
    assert listed(await demo_page(there, store, is_demo=False))[0] == ("desk", "stored")


@pytest.mark.parametrize("is_demo", [True, False])
async def test_a_page_whose_visitors_learn_no_names_lists_nothing(
    tmp_path: Path, is_demo: bool
) -> None:
    store, there = InMemoryConnectionStore(), await found(tmp_path)
    await store.add(SYSTEM, [replace(DESK, visibility="everyone")])
    demo = await demo_page(there, store, is_demo=is_demo, names=False)
    assert (demo.connections, demo.warnings, demo.unused) == ([], [], [])
    assert not demo.offline


@pytest.mark.parametrize(
    ("changes", "public"),
    [
        ({"demo": True}, True),
        ({"demo": True, "http_host": "::1"}, True),
        ({"demo": True, "http_host": "0.0.0.0"}, False),
        ({"demo": True, "trusted_proxies": "127.0.0.1"}, False),
        ({"demo": True, "show_connections": False}, False),
        ({}, False),
        ({"http_host": "0.0.0.0", "show_connections": True}, True),
    ],
)
def test_visitors_learn_names_only_in_a_demo_of_ones_own_or_by_a_setting(
    changes: dict[str, object], public: bool
) -> None:
    settings = Settings(livekit_api_key="key", livekit_api_secret=SecretStr("s" * 32))
    assert settings.model_copy(update=changes).names_are_public is public
