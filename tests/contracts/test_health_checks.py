"""Tests the checker against real servers, real databases and other processes like it."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from llm_router.clock import utc_now
from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection
from llm_router.connections.store import ConnectionStore
from llm_router.management.checker import Checker, CheckerDeps
from llm_router.options import HealthOptions
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.database import Database
from llm_router.store.leases import Lease
from llm_router.store.usage import UsageLog, UsageRecord
from llm_router.testing import ManualClock
from llm_router.testing.server import Fault, FaultyServer, Script
from tests.contracts import checking_process
from tests.contracts.databases import Files, Server
from tests.contracts.gateway import gateway_on
from tests.contracts.processes import child
from tests.contracts.stores import ANNA, MASTER_KEY, VAULT, added

OFTEN = HealthOptions(interval=0.0, patience=0.5)


async def check_once(store: ConnectionStore, deps: CheckerDeps | None = None) -> None:
    """Runs one round of checks to its end."""
    checker = Checker(store, OFTEN, deps)
    await checker.step()
    await checker.wait_for_checks()


async def test_a_real_server_that_dies_and_returns_is_noticed(store: ConnectionStore) -> None:
    async with FaultyServer() as server:
        stored = await added(store, base_url=server.base_url, api_key="sk-0123456789-wxyz")
        await check_once(store)
        assert (await store.get(SYSTEM, stored.id)).status == "active"
        assert server.requests == []  # no caller's words were sent
        await server.behave(Script(fault=Fault.REFUSE))
        for _ in range(3):
            await check_once(store)
        broken = await store.get(SYSTEM, stored.id)
        assert (broken.status, broken.version) == ("error", stored.version)
        assert broken.status_reason.startswith("unreachable (")
        assert broken.status_reason.endswith("is the server running, and is base_url right?")
        await server.behave(Script())
        for _ in range(2):
            await check_once(store)
        assert (await store.get(SYSTEM, stored.id)).status == "active"
    history = (await store.checks(SYSTEM, stored.id)).items
    assert [check.outcome for check in history] == ["ok"] * 2 + ["unreachable"] * 3 + ["ok"]
    assert all(check.latency is not None for check in history if check.outcome == "ok")
    assert "sk-0123" not in repr(history)


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        (Script(), "ok"),
        (Script(fault=Fault.STATUS, status=404), "model missing"),
        (Script(fault=Fault.STATUS, status=402), "out of credit"),
        (Script(fault=Fault.EMPTY), "empty"),
        (Script(fault=Fault.REASONING_ENDLESS), "ok"),
        (Script(fault=Fault.HANG_BEFORE_HEADERS), "silent"),
    ],
)
async def test_a_word_shows_what_a_list_of_models_does_not(
    files: Files, script: Script, outcome: str
) -> None:
    async with FaultyServer(script) as server, gateway_on(await files.new()) as gateway:
        stored = await added(gateway.store, base_url=server.base_url)
        options = replace(OFTEN, generate_token=True)
        checker = Checker(gateway.store, options)
        await checker.step()
        await checker.wait_for_checks()
        (check,) = (await gateway.store.checks(SYSTEM, stored.id)).items
        assert (check.kind, check.outcome) == ("word", outcome)
        assert (await server.received()).body["max_tokens"] == 1
        if script.fault is not Fault.NONE:
            await server.disconnected()  # and no more is read than needed


async def test_a_private_address_is_called_only_if_an_admin_vouches_for_it(files: Files) -> None:
    async with FaultyServer() as server, gateway_on(await files.new()) as gateway:
        deps = CheckerDeps(guard_of=gateway.services.addresses.for_connection)
        admins = await added(gateway.store, base_url=server.base_url)
        private = Connection(name="b", base_url=server.base_url, model_name="m")
        (annas,) = await gateway.store.add(ANNA, [private])
        await check_once(gateway.store, deps)
        found = {}
        for one in (admins, annas):
            (check,) = (await gateway.store.checks(SYSTEM, one.id)).items
            found[one.name] = check.outcome, (await gateway.store.get(SYSTEM, one.id)).status
        assert found == {"a": ("ok", "active"), "b": ("not asked", "untested")}
        assert server.connections == 1


async def test_a_reply_to_a_caller_counts_as_a_sign_of_health(database: Database) -> None:
    log, now = UsageLog(database), utc_now()
    used = UsageRecord(
        at=now, connection_id="a", connection_name="a", reply_id="r", role="first",
        outcome="won", duration=1.0,
    )  # fmt: skip
    await log.append([replace(used, outcome="overloaded"), replace(used, connection_id="b")])
    assert not await log.answered_since("a", now)
    await log.append([used])
    assert await log.answered_since("a", now)
    assert not await log.answered_since("a", now.replace(year=2200))


# ── One of several ───────────────────────────────────────────────────────────────────────────────


async def test_a_lease_belongs_to_one_holder_until_it_is_released_or_runs_out(
    database: Database,
) -> None:
    clock = ManualClock()
    one, other = (Lease(database, "work", clock, seconds=30) for _ in range(2))
    another = Lease(database, "another work", clock, seconds=30)
    assert await one.acquire()
    assert not await other.acquire()
    assert await another.acquire()
    for _ in range(20):
        clock.advance(9)
        assert await one.acquire()
        assert not await other.acquire()
    clock.advance(31)
    assert await other.acquire()
    assert not await one.acquire()
    await other.release()
    assert await one.acquire()


@asynccontextmanager
async def checking(url: str) -> AsyncIterator[Process]:
    program = checking_process.__file__
    async with child(sys.executable, program, url, MASTER_KEY, stdout=PIPE) as process:
        yield process


async def said(process: Process) -> str:
    assert process.stdout
    return (await process.stdout.readline()).decode().strip()


@pytest.mark.timeout(300)
async def test_of_two_processes_one_checks_and_the_other_takes_over_when_it_is_killed(
    server: Server,
) -> None:
    url = await server.new()
    store = SqlConnectionStore(Database(url), VAULT)
    async with checking(url) as one:
        assert await said(one) == "leads"
        async with checking(url) as other:
            assert await said(other) == "waits"
            stored = await added(store, ANNA, provider="offline", base_url="")
            await more_checks(store, stored.id, 3)
            one.kill()
            await one.wait()
            assert await said(other) == "leads"
            before = (await store.checks(SYSTEM, stored.id)).total
            await more_checks(store, stored.id, before + 3)
    assert (await store.get(SYSTEM, stored.id)).status == "active"
    await store.database.aclose()


async def more_checks(store: ConnectionStore, connection_id: str, number: int) -> None:
    while (await store.checks(SYSTEM, connection_id)).total < number:  # noqa: ASYNC110  of another process
        await asyncio.sleep(0.01)
