"""Hours of health checks on a clock that jumps: servers that die, recover, hang or stay down."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from llm_router.clock import Clock, SystemRng
from llm_router.connections.access import SYSTEM, Actor
from llm_router.connections.record import Connection
from llm_router.connections.store import Check, CheckPage
from llm_router.errors import AddressRefusedError, ConfigurationError, StoreError, UnreachableError
from llm_router.management.checker import Checker, CheckerDeps
from llm_router.net.guard import AddressGuard
from llm_router.options import HealthOptions
from llm_router.testing import (
    HANG,
    InMemoryConnectionStore,
    ManualClock,
    ScriptedProvider,
    Step,
    fail,
    say,
)

DOWN = Step(error=UnreachableError("no answer from desk:8000"))
WELL = Step()
ANNA = Actor("anna", "editor", owner="anna")
SOON = HealthOptions(interval=600, deactivate_after=timedelta(hours=4))
HOUR = 3_600.0


class Store(InMemoryConnectionStore):
    """A store that can be unavailable for a while, and counts how often it is asked for checks."""

    is_away = False
    reads = 0

    async def revision(self) -> int:
        if self.is_away:
            raise StoreError("database x: no answer")
        return await super().revision()

    async def checks(
        self, actor: Actor, connection_id: str, *, limit: int = 50, offset: int = 0
    ) -> CheckPage:
        self.reads += 1
        return await super().checks(actor, connection_id, limit=limit, offset=offset)

    async def latest_checks(self, actor: Actor) -> Mapping[str, Check]:
        self.reads += 1
        return await super().latest_checks(actor)


@dataclass
class CheckerStage:
    """A checker over servers `a`, `b`, ... Times in seconds since its start."""

    clock: ManualClock = field(default_factory=ManualClock)
    options: HealthOptions = field(default_factory=HealthOptions)
    servers: dict[str, ScriptedProvider] = field(default_factory=dict)
    leads: bool = True
    answered: bool = False
    refused: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.store = Store(self.clock)
        self.most_at_once = 0

    async def add(self, name: str, **fields: Any) -> ScriptedProvider:
        server = self.servers[name] = ScriptedProvider([say("hi")], clock=self.clock)
        await self.store.add(ANNA, [Connection(id=name, name=name, **fields)])
        return server

    async def after(self, seconds: float) -> None:
        await self.clock.sleep(seconds)

    async def found(self, name: str) -> Connection:
        return await self.store.get(SYSTEM, name)

    async def status(self, name: str = "a") -> str:
        return (await self.found(name)).status

    async def history(self, name: str = "a") -> tuple[Check, ...]:
        return (await self.store.checks(SYSTEM, name, limit=10**6)).items

    @asynccontextmanager
    async def watched(self, checker: Checker | None = None) -> AsyncIterator[None]:
        checker = checker or self.checker()
        checker.start()
        try:
            yield
        finally:
            await checker.aclose()
        assert all(server.closed and not server.open for server in self.servers.values())

    def checker(self) -> Checker:
        async def leads() -> bool:
            return self.leads

        async def answered_since(_: str, __: datetime) -> bool:
            return self.answered

        deps = CheckerDeps(leads=leads, answered_since=answered_since, open=self._open)
        return Checker(self.store, self.options, deps, clock=self.clock, rng=SystemRng(7))

    async def _open(
        self, connection: Connection, _: Clock, __: AddressGuard | None
    ) -> ScriptedProvider:
        if connection.name in self.refused:
            raise AddressRefusedError("10.0.0.5 is not on the public internet")
        if connection.provider == "broken":
            raise ConfigurationError("base_url is missing")
        in_use = sum(server.open for server in self.servers.values())
        self.most_at_once = max(self.most_at_once, in_use + 1)
        return self.servers[connection.name]


def test_a_server_that_dies_and_returns_is_noticed_both_times_and_no_more() -> None:
    async def scenario(stage: CheckerStage) -> None:
        server = await stage.add("a")
        async with stage.watched():
            await stage.after(6)
            assert await stage.status() == "active"
            await stage.after(HOUR)
            probes = server.probes
            assert 55 <= probes <= 65  # one a minute
            server.probe_step = DOWN
            await stage.after(60 + 2 * 15 + 20)
            broken = await stage.found("a")
            assert broken.status == "error"
            assert broken.status_reason.startswith("unreachable (no answer from desk:8000)")
            await stage.after(HOUR)
            server.probe_step = WELL
            await stage.after(60 + 15 + 20)
            assert await stage.status() == "active"
            await stage.after(HOUR)
        changes = [entry.after["status"] for entry in await stage.store.audit(SYSTEM, limit=99)
                   if entry.action == "set status"]  # fmt: skip
        assert changes == ["active", "error", "active"]
        assert (await stage.found("a")).version == 1
        assert {check.outcome for check in await stage.history()} == {"ok", "unreachable"}

    run(scenario)


def test_a_packet_that_is_lost_changes_nothing() -> None:
    async def scenario(stage: CheckerStage) -> None:
        server = await stage.add("a")
        async with stage.watched():
            await stage.after(6)
            revision = await stage.store.revision()
            for _ in range(50):
                server.probe_step = DOWN
                await stage.after(25)  # two checks at most
                server.probe_step = WELL
                await stage.after(60)
        assert await stage.store.revision() == revision
        assert sum(check.outcome != "ok" for check in await stage.history()) >= 10

    run(scenario)


def test_a_broken_connection_is_deactivated_by_the_system_and_activated_by_a_person() -> None:
    async def scenario(stage: CheckerStage) -> None:
        stage.options = SOON
        server, _ = await stage.add("a"), await stage.add("b")
        async with stage.watched():
            await stage.after(HOUR)
            server.probe_step = DOWN
            await stage.after(4 * HOUR)
            assert await stage.status() == "error"
            await stage.after(HOUR / 2)
            off = await stage.found("a")
            assert (off.is_active, off.status, off.version) == (False, "deactivated", 2)
            assert off.status_reason.startswith("broken for too long: unreachable")
            (entry, *_) = await stage.store.audit(SYSTEM, target="a")
            assert (entry.actor, entry.action) == ("system", "deactivate")
            assert entry.after["is_active"] is False
            probes = server.probes
            await stage.after(HOUR)
            assert server.probes == probes  # a deactivated connection is not checked

            await stage.store.change(ANNA, "a", {"is_active": True})
            await stage.after(4 * HOUR)
            assert await stage.status() == "error"  # four hours of its own, from here on
            server.probe_step = WELL
            await stage.after(HOUR / 2)
            assert await stage.status() == "active"
            assert await stage.status("b") == "active"

    run(scenario)


def test_when_no_server_answers_none_is_deactivated() -> None:
    async def scenario(stage: CheckerStage) -> None:
        stage.options = SOON
        servers = [await stage.add(name) for name in "abc"]
        async with stage.watched():
            await stage.after(HOUR)
            for server in servers:
                server.probe_step = DOWN
            await stage.after(9 * HOUR)
            assert [await stage.status(name) for name in "abc"] == ["error"] * 3
            # Once one of them is back it stands in for the others.
            servers[1].probe_step = WELL
            await stage.after(HOUR)
            assert [await stage.status(name) for name in "abc"] == [
                "deactivated", "active", "deactivated",
            ]  # fmt: skip

    run(scenario)


def test_checks_of_hanging_servers_time_out_and_only_so_many_run_at_once() -> None:
    async def scenario(stage: CheckerStage) -> None:
        names = [f"n{number}" for number in range(20)]
        for name in names:
            (await stage.add(name)).probe_step = HANG
        async with stage.watched():
            await stage.after(5 * 60)
        assert stage.most_at_once == stage.options.concurrency
        for name in names:
            assert await stage.status(name) == "error"
            check = (await stage.history(name))[0]
            assert (check.outcome, check.detail[:34]) == (
                "unreachable", "unreachable (no answer after 10 s)",
            )  # fmt: skip

    run(scenario)


def test_checks_do_not_come_in_step() -> None:
    async def scenario(stage: CheckerStage) -> None:
        for name in "abcdefgh":
            await stage.add(name)
        async with stage.watched():
            await stage.after(2 * HOUR)
        last = {(await stage.history(name))[0].at for name in "abcdefgh"}
        assert len(last) > 4

    run(scenario)


def test_an_edited_connection_is_checked_at_once() -> None:
    async def scenario(stage: CheckerStage) -> None:
        stage.options = HealthOptions(interval=600)
        server = await stage.add("a")
        async with stage.watched():
            await stage.after(30)
            assert server.probes == 1
            await stage.store.change(ANNA, "a", {"model_name": "another"})
            assert await stage.status() == "untested"
            await stage.after(6)
            assert (server.probes, await stage.status()) == (2, "active")
            await stage.store.remove(ANNA, "a")
            await stage.after(HOUR)
            assert server.probes == 2

    run(scenario)


def test_a_connection_edited_during_its_check_is_checked_again() -> None:
    async def scenario(stage: CheckerStage) -> None:
        server = await stage.add("a")
        server.probe_step = Step(after=8)
        async with stage.watched():
            await stage.after(6)
            await stage.store.change(ANNA, "a", {"model_name": "another"})
            await stage.after(4)
            assert await stage.status() == "untested"  # that was of the one before
            await stage.after(14)
            assert (server.probes, await stage.status()) == (2, "active")

    run(scenario)


def test_a_second_checker_continues_where_the_first_one_stopped() -> None:
    async def scenario(stage: CheckerStage) -> None:
        server = await stage.add("a")
        async with stage.watched():
            await stage.after(31)
        assert server.probes == 1
        async with stage.watched():
            await stage.after(15)
            assert server.probes == 1  # not due yet
            await stage.after(30)
            assert server.probes == 2
            stage.leads = False
            await stage.after(HOUR)
            assert server.probes == 2
            stage.leads = True
            await stage.after(6)
            assert server.probes == 3

    run(scenario)


def test_a_store_that_is_unavailable_is_waited_for() -> None:
    async def scenario(stage: CheckerStage) -> None:
        server = await stage.add("a")
        async with stage.watched():
            await stage.after(6)
            stage.store.is_away = True
            await stage.after(HOUR)
            probes = server.probes
            stage.store.is_away = False
            await stage.after(HOUR)
            assert server.probes > probes + 50

    run(scenario)


def test_the_checks_of_many_connections_are_read_at_once_and_none_is_checked_early() -> None:
    async def scenario(stage: CheckerStage) -> None:
        names = [f"server-{number}" for number in range(50)]
        for name in names:
            await stage.add(name)
        async with stage.watched():
            await stage.after(5)
        before = {name: (await stage.history(name))[0].at for name in names}
        stage.store.reads = 0
        async with stage.watched():
            await stage.after(5)
        assert stage.store.reads == 1
        assert {name: (await stage.history(name))[0].at for name in names} == before
        await stage.store.change(ANNA, names[0], {"base_url": "http://other:8000/v1"})
        stage.store.reads = 0
        async with stage.watched():
            await stage.after(5)
        assert stage.store.reads == 1
        after = {name: (await stage.history(name))[0].at for name in names}
        assert {name for name in names if after[name] != before[name]} == {names[0]}

    run(scenario)


def test_an_address_its_owner_may_not_have_called_says_nothing_of_the_server() -> None:
    async def scenario(stage: CheckerStage) -> None:
        await stage.add("a")
        stage.refused.add("a")
        async with stage.watched():
            await stage.after(HOUR)
            assert await stage.status() == "untested"
            stage.refused.clear()
            await stage.after(HOUR)
        assert await stage.status() == "active"
        first = (await stage.history())[-1]
        assert (first.outcome, first.detail) == (
            "not asked", "10.0.0.5 is not on the public internet",
        )  # fmt: skip

    run(scenario)


def test_a_record_that_cannot_be_asked_is_an_error_that_says_so() -> None:
    async def scenario(stage: CheckerStage) -> None:
        server = await stage.add("a", provider="broken")
        async with stage.watched():
            await stage.after(60)
            assert await stage.status() == "error"
            await stage.store.change(ANNA, "a", {"provider": "openai_compatible"})
            await stage.after(6)
        assert (await stage.status(), server.probes) == ("active", 1)
        assert "base_url is missing" in (await stage.history())[-1].detail

    run(scenario)


def test_a_server_that_refuses_its_model_list_but_answers_callers_is_healthy() -> None:
    async def scenario(stage: CheckerStage) -> None:
        server = await stage.add("a")
        server.probe_step, stage.answered = DOWN, True
        async with stage.watched():
            await stage.after(HOUR)
            assert await stage.status() == "active"
            stage.answered = False
            await stage.after(HOUR)
            assert await stage.status() == "error"
        assert {check.kind for check in await stage.history()} == {"call", "probe"}

    run(scenario)


def test_a_token_is_generated_only_where_its_cost_is_allowed() -> None:
    async def scenario(stage: CheckerStage) -> None:
        server = await stage.add("a")
        async with stage.watched():
            await stage.after(HOUR)
        assert server.requests == []
        stage.options = replace(stage.options, generate_token=True)
        server.scripts = [fail(UnreachableError("gone"))]
        async with stage.watched():
            await stage.after(HOUR)
        assert await stage.status() == "error"
        assert {request.max_tokens for request in server.requests} == {1}
        assert {check.kind for check in await stage.history()} == {"probe", "word"}

    run(scenario)


def test_old_checks_are_deleted() -> None:
    async def scenario(stage: CheckerStage) -> None:
        stage.options = HealthOptions(retention=timedelta(hours=2), max_stored=100)
        server = await stage.add("a")
        async with stage.watched():
            await stage.after(4 * HOUR)
            assert len(await stage.history()) == 100
            server.probe_step = DOWN
            await stage.after(HOUR)
            history = await stage.history()
            assert history[0].at - history[-1].at <= timedelta(hours=2)

    run(scenario)


def run(scenario: Any) -> None:
    stage = CheckerStage()
    stage.clock.run(scenario(stage))
