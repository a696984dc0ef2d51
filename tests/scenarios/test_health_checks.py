"""Hours of health checks on a clock that jumps: servers that die, come back, hang or stay away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from llm_router.clock import Clock, SystemRng
from llm_router.connections.access import SYSTEM, Actor
from llm_router.connections.record import Connection
from llm_router.connections.store import Check
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
    """One that can be away for a while."""

    is_away = False

    async def revision(self) -> int:
        if self.is_away:
            raise StoreError("database x: no answer")
        return await super().revision()


@dataclass
class Ward:
    """A checker over servers `a`, `b`, ... Time is in seconds since it began."""

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

        world = CheckerDeps(leads=leads, answered_since=answered_since, open=self._open)
        return Checker(self.store, self.options, world, clock=self.clock, rng=SystemRng(7))

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
    async def scenario(ward: Ward) -> None:
        server = await ward.add("a")
        async with ward.watched():
            await ward.after(6)
            assert await ward.status() == "active"
            await ward.after(HOUR)
            probes = server.probes
            assert 55 <= probes <= 65  # one a minute
            server.probe_step = DOWN
            await ward.after(60 + 2 * 15 + 20)
            broken = await ward.found("a")
            assert broken.status == "error"
            assert broken.status_reason.startswith("unreachable (no answer from desk:8000)")
            await ward.after(HOUR)
            server.probe_step = WELL
            await ward.after(60 + 15 + 20)
            assert await ward.status() == "active"
            await ward.after(HOUR)
        changes = [entry.after["status"] for entry in await ward.store.audit(SYSTEM, limit=99)
                   if entry.action == "set status"]  # fmt: skip
        assert changes == ["active", "error", "active"]
        assert (await ward.found("a")).version == 1
        assert {check.outcome for check in await ward.history()} == {"ok", "unreachable"}

    run(scenario)


def test_a_packet_that_is_lost_changes_nothing() -> None:
    async def scenario(ward: Ward) -> None:
        server = await ward.add("a")
        async with ward.watched():
            await ward.after(6)
            revision = await ward.store.revision()
            for _ in range(50):
                server.probe_step = DOWN
                await ward.after(25)  # two checks at most
                server.probe_step = WELL
                await ward.after(60)
        assert await ward.store.revision() == revision
        assert sum(check.outcome != "ok" for check in await ward.history()) >= 10

    run(scenario)


def test_one_that_stays_broken_is_switched_off_by_the_system_and_back_on_by_a_person() -> None:
    async def scenario(ward: Ward) -> None:
        ward.options = SOON
        server, _ = await ward.add("a"), await ward.add("b")
        async with ward.watched():
            await ward.after(HOUR)
            server.probe_step = DOWN
            await ward.after(4 * HOUR)
            assert await ward.status() == "error"
            await ward.after(HOUR / 2)
            off = await ward.found("a")
            assert (off.is_active, off.status, off.version) == (False, "deactivated", 2)
            assert off.status_reason.startswith("broken for too long: unreachable")
            (entry, *_) = await ward.store.audit(SYSTEM, target="a")
            assert (entry.actor, entry.action) == ("system", "deactivate")
            assert entry.after["is_active"] is False
            probes = server.probes
            await ward.after(HOUR)
            assert server.probes == probes  # nobody asks what is switched off

            await ward.store.change(ANNA, "a", {"is_active": True})
            await ward.after(4 * HOUR)
            assert await ward.status() == "error"  # four hours of its own, from here on
            server.probe_step = WELL
            await ward.after(HOUR / 2)
            assert await ward.status() == "active"
            assert await ward.status("b") == "active"

    run(scenario)


def test_when_nothing_answers_nothing_is_switched_off() -> None:
    async def scenario(ward: Ward) -> None:
        ward.options = SOON
        servers = [await ward.add(name) for name in "abc"]
        async with ward.watched():
            await ward.after(HOUR)
            for server in servers:
                server.probe_step = DOWN
            await ward.after(9 * HOUR)
            assert [await ward.status(name) for name in "abc"] == ["error"] * 3
            # Once one of them is back it stands in for the others.
            servers[1].probe_step = WELL
            await ward.after(HOUR)
            assert [await ward.status(name) for name in "abc"] == [
                "deactivated", "active", "deactivated",
            ]  # fmt: skip

    run(scenario)


def test_servers_that_hang_are_given_up_on_and_only_so_many_are_asked_at_once() -> None:
    async def scenario(ward: Ward) -> None:
        names = [f"n{number}" for number in range(20)]
        for name in names:
            (await ward.add(name)).probe_step = HANG
        async with ward.watched():
            await ward.after(5 * 60)
        assert ward.most_at_once == ward.options.concurrency
        for name in names:
            assert await ward.status(name) == "error"
            check = (await ward.history(name))[0]
            assert (check.outcome, check.detail[:34]) == (
                "unreachable", "unreachable (no answer after 10 s)",
            )  # fmt: skip

    run(scenario)


def test_checks_do_not_come_in_step() -> None:
    async def scenario(ward: Ward) -> None:
        for name in "abcdefgh":
            await ward.add(name)
        async with ward.watched():
            await ward.after(2 * HOUR)
        last = {(await ward.history(name))[0].at for name in "abcdefgh"}
        assert len(last) > 4

    run(scenario)


def test_what_is_edited_is_checked_at_once() -> None:
    async def scenario(ward: Ward) -> None:
        ward.options = HealthOptions(interval=600)
        server = await ward.add("a")
        async with ward.watched():
            await ward.after(30)
            assert server.probes == 1
            await ward.store.change(ANNA, "a", {"model_name": "another"})
            assert await ward.status() == "untested"
            await ward.after(6)
            assert (server.probes, await ward.status()) == (2, "active")
            await ward.store.remove(ANNA, "a")
            await ward.after(HOUR)
            assert server.probes == 2

    run(scenario)


def test_what_is_edited_while_it_is_checked_is_checked_again() -> None:
    async def scenario(ward: Ward) -> None:
        server = await ward.add("a")
        server.probe_step = Step(after=8)
        async with ward.watched():
            await ward.after(6)
            await ward.store.change(ANNA, "a", {"model_name": "another"})
            await ward.after(4)
            assert await ward.status() == "untested"  # that was of the one before
            await ward.after(14)
            assert (server.probes, await ward.status()) == (2, "active")

    run(scenario)


def test_who_takes_over_goes_on_where_the_other_was() -> None:
    async def scenario(ward: Ward) -> None:
        server = await ward.add("a")
        async with ward.watched():
            await ward.after(31)
        assert server.probes == 1
        async with ward.watched():
            await ward.after(15)
            assert server.probes == 1  # not due yet
            await ward.after(30)
            assert server.probes == 2
            ward.leads = False
            await ward.after(HOUR)
            assert server.probes == 2
            ward.leads = True
            await ward.after(6)
            assert server.probes == 3

    run(scenario)


def test_a_store_that_is_away_is_waited_for() -> None:
    async def scenario(ward: Ward) -> None:
        server = await ward.add("a")
        async with ward.watched():
            await ward.after(6)
            ward.store.is_away = True
            await ward.after(HOUR)
            probes = server.probes
            ward.store.is_away = False
            await ward.after(HOUR)
            assert server.probes > probes + 50

    run(scenario)


def test_an_address_its_owner_may_not_have_called_says_nothing_of_the_server() -> None:
    async def scenario(ward: Ward) -> None:
        await ward.add("a")
        ward.refused.add("a")
        async with ward.watched():
            await ward.after(HOUR)
            assert await ward.status() == "untested"
            ward.refused.clear()
            await ward.after(HOUR)
        assert await ward.status() == "active"
        first = (await ward.history())[-1]
        assert (first.outcome, first.detail) == (
            "not asked", "10.0.0.5 is not on the public internet",
        )  # fmt: skip

    run(scenario)


def test_a_record_that_cannot_be_asked_is_an_error_that_says_so() -> None:
    async def scenario(ward: Ward) -> None:
        server = await ward.add("a", provider="broken")
        async with ward.watched():
            await ward.after(60)
            assert await ward.status() == "error"
            await ward.store.change(ANNA, "a", {"provider": "openai_compatible"})
            await ward.after(6)
        assert (await ward.status(), server.probes) == ("active", 1)
        assert "base_url is missing" in (await ward.history())[-1].detail

    run(scenario)


def test_one_that_may_not_list_its_models_but_answers_callers_is_well() -> None:
    async def scenario(ward: Ward) -> None:
        server = await ward.add("a")
        server.probe_step, ward.answered = DOWN, True
        async with ward.watched():
            await ward.after(HOUR)
            assert await ward.status() == "active"
            ward.answered = False
            await ward.after(HOUR)
            assert await ward.status() == "error"
        assert {check.kind for check in await ward.history()} == {"call", "probe"}

    run(scenario)


def test_a_word_is_asked_for_only_where_its_cost_is_allowed() -> None:
    async def scenario(ward: Ward) -> None:
        server = await ward.add("a")
        async with ward.watched():
            await ward.after(HOUR)
        assert server.requests == []
        ward.options = replace(ward.options, generate_token=True)
        server.scripts = [fail(UnreachableError("gone"))]
        async with ward.watched():
            await ward.after(HOUR)
        assert await ward.status() == "error"
        assert {request.max_tokens for request in server.requests} == {1}
        assert {check.kind for check in await ward.history()} == {"probe", "word"}

    run(scenario)


def test_old_checks_go() -> None:
    async def scenario(ward: Ward) -> None:
        ward.options = HealthOptions(retention=timedelta(hours=2), max_stored=100)
        server = await ward.add("a")
        async with ward.watched():
            await ward.after(4 * HOUR)
            assert len(await ward.history()) == 100
            server.probe_step = DOWN
            await ward.after(HOUR)
            history = await ward.history()
            assert history[0].at - history[-1].at <= timedelta(hours=2)

    run(scenario)


def run(scenario: Any) -> None:
    ward = Ward()
    ward.clock.run(scenario(ward))
