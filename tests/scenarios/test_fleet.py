"""Hours of a fleet on spot instances, on a clock that jumps; its model servers are on sockets."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from llm_router import open_router
from llm_router.clock import Clock, utc_now
from llm_router.connections.access import SYSTEM, WORKER
from llm_router.connections.record import Connection
from llm_router.connections.store import Check, Query
from llm_router.fleet.cloud import Notice
from llm_router.fleet.controller import FleetController
from llm_router.fleet.spec import FleetSpec
from llm_router.net.guard import AddressGuard
from llm_router.options import HealthOptions, Quota
from llm_router.providers.base import PROVIDERS, Provider
from llm_router.sync.subscription import StoreSubscription
from llm_router.testing import InMemoryConnectionStore, ManualClock
from llm_router.testing.cloud import FakeCloud, MemoryFleetBook
from llm_router.testing.server import Fault, FaultyServer, Script
from llm_router.types import ChatRequest

ANSWER = " ".join(f"w{n}{',' if n % 8 == 7 else ''}" for n in range(60)) + "."
WORDS = tuple(word if n == 0 else f" {word}" for n, word in enumerate(ANSWER.split(" ")))
TALK = Script(words=WORDS, first_token_after=0.1, gap=0.2, continues=True)
STARTS_AFTER = 30.0


async def open_at_once(
    connection: Connection, clock: Clock, guard: AddressGuard | None
) -> Provider:
    """Opens a provider without a thread, for which this clock would not wait."""
    return PROVIDERS.load(connection.provider)(connection, clock, guard)


class FleetStage:
    """A fleet of two on a cloud in memory, whose instances are servers at 127.0.1.1, .2, ..."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.store = InMemoryConnectionStore(clock)
        self.book = MemoryFleetBook()
        self.servers: list[FaultyServer] = []
        self.cloud = FakeCloud(
            clock, starts_after=STARTS_AFTER, addresses=[f"127.0.1.{n}" for n in range(1, 7)]
        )
        self.port = 0
        self.leads = True

    def spec(self, **fields: Any) -> FleetSpec:
        usual = {"name": "llama", "template": "lt-1", "size": 2, "max_hourly": 3.0}
        return FleetSpec(**{**usual, "port": self.port, **fields})

    @asynccontextmanager
    async def controlled(self, **fields: Any) -> AsyncIterator[FleetController]:
        async def leads() -> bool:
            return self.leads

        controller = FleetController(
            self.spec(**fields),
            self.cloud,
            self.store,
            self.book,
            clock=self.clock,
            leads=leads,
            open_provider=open_at_once,
        )
        controller.start()
        try:
            yield controller
        finally:
            await controller.aclose()

    async def after(self, seconds: float) -> None:
        await self.clock.sleep(seconds)

    async def stored(self) -> dict[str, Connection]:
        found = (await self.store.find(SYSTEM, Query(limit=None))).items
        return {one.name: one for one in found}

    async def living(self) -> list[str]:
        return [i.id for i in await self.cloud.instances("llama") if i.state != "gone"]

    async def die(self, number: int) -> None:
        """Takes instance `i-<number>` back, and with it every connection to its server."""
        self.cloud.take_back(f"i-{number}", "Server.SpotInstanceTermination")
        await self.servers[number - 1].__aexit__()


def play(
    test: Callable[[FleetStage], Awaitable[None]], scripts: tuple[Script, ...] = (TALK,) * 6
) -> None:
    """Runs a test with a server for each script; two instances are wanted."""
    clock = ManualClock(socket_wait=0.001)

    async def main() -> None:
        stage = FleetStage(clock)
        await stage.book.want("llama", 2)
        async with AsyncExitStack() as stack:
            for number, script in enumerate(scripts, 1):
                server = FaultyServer(
                    script, host=f"127.0.1.{number}", port=stage.port, clock=clock
                )
                stage.servers.append(await stack.enter_async_context(server))
                stage.port = int(server.base_url.rpartition(":")[2].partition("/")[0])
            await test(stage)

    clock.run(main())


# ── Instances come and go ────────────────────────────────────────────────────────────────────────


def test_instances_become_connections_once_their_model_has_said_a_word() -> None:
    async def test(stage: FleetStage) -> None:
        async with stage.controlled():
            await stage.after(STARTS_AFTER - 1)
            assert await stage.stored() == {}
            assert not any(server.requests for server in stage.servers)
            await stage.after(12)
            stored = await stage.stored()
        assert sorted(stored) == ["llama-1", "llama-2"]
        one = stored["llama-1"]
        assert (one.is_active, one.status, one.connection_type) == (True, "active", "aws_spot")
        assert (one.model_name, one.is_approved_for_calls) == ("faulty", True)
        assert one.base_url == f"http://127.0.1.1:{stage.port}/v1"
        assert one.description == ("i-1, g6.xlarge in zone-a, 0.5000 an hour; launch template lt-1")
        assert [len(server.requests) for server in stage.servers] == [1, 1, 0, 0, 0, 0]

    play(test)


@pytest.mark.parametrize(
    "script",
    [Script(fault=Fault.STATUS), Script(fault=Fault.EMPTY), Script(fault=Fault.REFUSE)],
    ids=["error", "empty", "refused"],
)
def test_a_server_that_says_no_word_is_never_a_connection_and_is_replaced(script: Script) -> None:
    async def test(stage: FleetStage) -> None:
        async with stage.controlled(start_within=600.0):
            await stage.after(120)
            assert sorted(await stage.stored()) == ["llama-1"]
            assert await stage.living() == ["i-1", "i-2"]
            await stage.after(600)
            assert await stage.living() == ["i-2", "i-3"]
            assert sorted(await stage.stored()) == ["llama-1", "llama-2"]

    play(test, (script, TALK, TALK))


def test_a_full_store_does_not_end_a_fleet_and_leaves_no_instance_running_for_nothing() -> None:
    async def test(stage: FleetStage) -> None:
        stage.store = InMemoryConnectionStore(stage.clock, quota=Quota(in_all=1))
        async with stage.controlled(start_within=600.0):
            await stage.after(120)
            assert len(await stage.stored()) == 1
            assert await stage.living() == ["i-1", "i-2"]
            await stage.after(600)
            assert len(await stage.stored()) == 1
            assert not {"i-1", "i-2"} <= {*await stage.living()}

    play(test)


def test_a_server_of_another_model_is_never_a_connection() -> None:
    async def test(stage: FleetStage) -> None:
        async with stage.controlled(model_name="llama-3"):
            await stage.after(120)
            assert await stage.stored() == {}

    play(test)


def test_a_model_server_that_dies_is_replaced_by_another_instance() -> None:
    async def test(stage: FleetStage) -> None:
        async with stage.controlled():
            await stage.after(60)
            for _ in range(3):
                down = Check(at=utc_now(stage.clock), outcome="unreachable", detail="no answer")
                [one] = [c for c in (await stage.stored()).values() if c.name == "llama-1"]
                await stage.store.record_check(SYSTEM, one.id, down, HealthOptions())
                await stage.after(15)
            assert (await stage.stored())["llama-1"].status == "error"
            await stage.after(310)
            assert await stage.living() == ["i-2", "i-3"]
            await stage.after(60)
            one = (await stage.stored())["llama-1"]
            assert (one.status, "instance:i-3" in one.tags) == ("active", True)

    play(test)


def test_an_instance_that_is_gone_leaves_its_reason_and_its_connection_to_the_next() -> None:
    async def test(stage: FleetStage) -> None:
        async with stage.controlled():
            await stage.after(60)
            before = (await stage.stored())["llama-1"]
            await stage.die(1)
            await stage.after(6)
            gone = (await stage.stored())["llama-1"]
            assert gone.status == "deactivated"
            assert gone.status_reason == "by fleet llama: i-1: Server.SpotInstanceTermination"
            await stage.after(60)
            after = (await stage.stored())["llama-1"]
        assert (after.id, after.is_active) == (before.id, True)
        assert after.base_url.startswith("http://127.0.1.3:")
        assert sorted(await stage.stored()) == ["llama-1", "llama-2"]

    play(test)


def test_a_hint_drains_an_instance_until_its_replacement_serves() -> None:
    async def test(stage: FleetStage) -> None:
        async with stage.controlled():
            await stage.after(60)
            stage.cloud.give_notice("i-1", Notice("rebalance"))
            await stage.after(6)
            hinted = (await stage.stored())["llama-1"]
            assert (hinted.weight, hinted.is_active) == (0.0, True)
            await stage.after(60)
            stored = await stage.stored()
            assert [stored[f"llama-{n}"].is_active for n in (1, 2, 3)] == [False, True, True]
            assert await stage.living() == ["i-1", "i-2", "i-3"]  # replies under way go on
            await stage.after(130)
            assert await stage.living() == ["i-2", "i-3"]

    play(test)


# ── A call meanwhile ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("two_minutes", [0, 4, 9], ids=lambda s: f"dead {s} s after the notice")
def test_a_call_goes_on_while_the_cloud_takes_its_instance_back(two_minutes: int) -> None:
    async def test(stage: FleetStage) -> None:
        subscription = StoreSubscription(stage.store, WORKER)
        async with (
            stage.controlled(),
            open_router(subscription, policy="priority", clock=stage.clock) as router,
        ):
            await stage.after(60)
            words: list[str] = []
            at: list[float] = []
            serving = 0
            question = [{"role": "user", "content": "Tell me all."}]
            async with aclosing(
                router.stream(ChatRequest(messages=question, speech=True))
            ) as reply:
                async for chunk in reply:
                    if not chunk.text:
                        continue
                    words.append(chunk.text)
                    at.append(stage.clock.now())
                    if len(words) == 5:
                        serving = max((1, 2), key=lambda n: len(stage.servers[n - 1].requests))
                        until = stage.clock.wall() + two_minutes
                        stage.cloud.give_notice(f"i-{serving}", Notice("interruption", until))
                    if len(words) == 6 + two_minutes * 5:
                        await stage.die(serving)
            assert "".join(words) == ANSWER  # no word lost, none twice
            pauses = [after - before for before, after in pairwise(at)]
            assert max(pauses) < router.options.spoken_stall + 0.25

            await stage.after(60)
            stored = await stage.stored()
            assert all(one.is_active for one in stored.values())
            assert len(await stage.living()) == 2
            asked = len(stage.servers[serving - 1].requests)
            async with aclosing(
                router.stream(ChatRequest(messages=question, speech=True))
            ) as reply:
                assert "".join([chunk.text async for chunk in reply]) == ANSWER
            assert len(stage.servers[serving - 1].requests) == asked

    play(test)


# ── Launches ─────────────────────────────────────────────────────────────────────────────────────


def test_a_controller_that_is_killed_is_replaced_and_nothing_starts_twice() -> None:
    async def test(stage: FleetStage) -> None:
        async with stage.controlled():
            await stage.after(1)
        assert await stage.living() == ["i-1", "i-2"]
        async with stage.controlled():
            await stage.after(120)
        async with stage.controlled():
            await stage.after(120)
        assert await stage.living() == ["i-1", "i-2"]
        assert sorted(await stage.stored()) == ["llama-1", "llama-2"]

    play(test)


def test_a_launch_that_a_dead_controller_has_begun_is_asked_for_under_its_number() -> None:
    async def test(stage: FleetStage) -> None:
        number = await stage.book.begin_launch("llama", stage.clock.wall())
        async with stage.controlled():
            await stage.after(60)
        assert stage.cloud.launches[0] == number
        assert len(stage.cloud.launches) == 2

    play(test)


def test_a_launch_whose_answer_is_lost_is_repeated_without_a_second_instance() -> None:
    async def test(stage: FleetStage) -> None:
        stage.cloud.loses_answers = True
        async with stage.controlled(size=1):
            await stage.book.want("llama", 1)
            await stage.after(16)
            stage.cloud.loses_answers = False
            await stage.after(60)
        assert await stage.living() == ["i-1"]
        assert len({*stage.cloud.launches}) == 1

    play(test)


def test_a_cloud_that_refuses_is_asked_more_and_more_rarely() -> None:
    async def test(stage: FleetStage) -> None:
        stage.cloud.refusal = "InsufficientInstanceCapacity"
        async with stage.controlled(size=1):
            await stage.book.want("llama", 1)
            await stage.after(3_600)
            assert 8 <= len(stage.cloud.launches) <= 14
            assert len({*stage.cloud.launches}) == len(stage.cloud.launches)
            stage.cloud.refusal = ""
            await stage.after(700)
        assert await stage.living() == ["i-1"]

    play(test)


def test_a_cloud_that_is_away_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    async def test(stage: FleetStage) -> None:
        async with stage.controlled():
            await stage.after(60)
            stage.cloud.is_away = True
            with caplog.at_level(logging.INFO, "llm_router"):
                await stage.after(600)
                assert all(one.is_active for one in (await stage.stored()).values())
                stage.cloud.is_away = False
                await stage.after(10)

    play(test)
    assert [record.getMessage() for record in caplog.records] == [
        "fleet llama: nothing is changed until the cloud answers: the cloud does not answer",
        "fleet llama: the cloud answers again",
    ]


def test_a_controller_that_does_not_lead_changes_nothing() -> None:
    async def test(stage: FleetStage) -> None:
        stage.leads = False
        async with stage.controlled():
            await stage.after(60)
            assert await stage.living() == []
            stage.leads = True
            await stage.after(60)
            assert await stage.living() == ["i-1", "i-2"]

    play(test)


def test_the_cost_of_an_hour_is_never_more_than_allowed() -> None:
    async def test(stage: FleetStage) -> None:
        stage.cloud.price = 1.4
        async with stage.controlled():
            await stage.after(60)
            stage.cloud.give_notice("i-1", Notice("rebalance"))
            await stage.after(60)
            assert await stage.living() == ["i-1", "i-2"]  # 2.80, and a third may cost 1.50
        async with stage.controlled(max_hourly=9.0):
            await stage.after(60)
            assert await stage.living() == ["i-1", "i-2", "i-3"]

    play(test)


# ── The end ──────────────────────────────────────────────────────────────────────────────────────


def test_the_end_leaves_nothing_running_and_every_connection_with_its_past() -> None:
    async def test(stage: FleetStage) -> None:
        async with stage.controlled() as controller:
            await stage.after(60)
            await stage.book.want("llama", 0)
            await stage.after(6)
            stored = await stage.stored()
            assert [one.status_reason for one in stored.values()] == [
                "by fleet llama: the fleet ends"
            ] * 2
            assert await stage.living() == ["i-1", "i-2"]
            await controller.wait_until_ended()
            assert await stage.living() == []
            assert (await stage.stored()).keys() == stored.keys()

    play(test)


def test_the_end_of_an_instance_that_starts_does_not_wait() -> None:
    async def test(stage: FleetStage) -> None:
        async with stage.controlled() as controller:
            await stage.after(6)
            await stage.book.want("llama", 0)
            started = stage.clock.now()
            await controller.wait_until_ended()
            assert stage.clock.now() - started < 15
            assert await stage.living() == []

    play(test)


def test_names_and_removals_of_persons_stand_in_no_way() -> None:
    async def test(stage: FleetStage) -> None:
        await stage.store.add(SYSTEM, [Connection(name="llama-1", base_url="http://host:1/v1")])
        async with stage.controlled():
            await stage.after(60)
            stored = await stage.stored()
            assert sorted(stored) == ["llama-1", "llama-2", "llama-3"]
            await stage.store.remove(SYSTEM, stored["llama-2"].id)
            await stage.after(20)
            assert sorted(await stage.stored()) == ["llama-1", "llama-2", "llama-3"]

    play(test)
