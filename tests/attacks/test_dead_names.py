"""Tests that names whose servers do not answer delay neither other names nor other work."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpcore2
import pytest
from aiohappyeyeballs import AddrInfoType

from llm_router.clock import checkpoint
from llm_router.errors import AddressRefusedError
from llm_router.net.guard import AddressGuard
from llm_router.net.network import Network
from llm_router.net.resolver import NameResolver
from llm_router.testing.clock import ManualClock
from tests.contracts.byte_server import ByteServer

HERE = "127.0.0.1"


class Names:
    """A name server: what each name resolves to; names of `dead.example` get no answer."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.addresses: dict[str, list[str]] = {"good.example": [HERE]}
        self.is_away = threading.Event()
        self.woken = threading.Event()

    def lookup(self, host: str) -> list[AddrInfoType]:
        self.asked[host] += 1
        if host.endswith("dead.example") or self.is_away.is_set():
            self.woken.wait()
        if host not in self.addresses:
            raise OSError("Name or service not known")
        return [(2, 1, 6, "", (address, 0)) for address in self.addresses[host]]


@contextmanager
def names() -> Iterator[Names]:
    server = Names()
    try:
        yield server
    finally:
        server.woken.set()


def dead(count: int) -> list[str]:
    return [f"n{number}.dead.example" for number in range(count)]


async def ask_all(resolver: NameResolver, hosts: list[str]) -> "list[asyncio.Task[object]]":
    asking = [asyncio.create_task(_asked(resolver, host)) for host in hosts]
    await checkpoint()
    return asking


async def _asked(resolver: NameResolver, host: str) -> object:
    return await resolver.resolve(host)


async def end(tasks: "list[asyncio.Task[object]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_dead_names_take_no_thread_of_other_work_and_delay_no_other_name() -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    with names() as server:
        resolver = NameResolver(server.lookup)
        waiting = await ask_all(resolver, dead(8))
        assert await asyncio.to_thread(int, "7") == 7
        assert [at[0] for *_, at in await resolver.resolve("good.example")] == [HERE]
        assert not any(task.done() for task in waiting)
        await end(waiting)


async def test_a_server_with_a_good_name_is_reached_while_eight_names_are_dead() -> None:
    with names() as server:
        network = Network(resolver=(resolver := NameResolver(server.lookup)))
        waiting = await ask_all(resolver, dead(8))
        async with ByteServer(lambda _: b"") as model:
            stream = await network.connect_tcp("good.example", model.port, timeout=2.0)
            await stream.aclose()
        with pytest.raises(httpcore2.ConnectTimeout):
            await network.connect_tcp("n1.dead.example", 80, timeout=0.01)
        assert server.asked["n1.dead.example"] == 1
        await end(waiting)


async def test_a_name_is_resolved_once_however_many_ask_and_who_leaves_early() -> None:
    with names() as server:
        server.is_away.set()
        resolver = NameResolver(server.lookup)
        waiting = await ask_all(resolver, 100 * ["good.example"])
        await end(waiting[:99])
        server.woken.set()
        await waiting[99]
        assert await resolver.resolve("GOOD.example.") == await resolver.resolve("good.example")
        assert server.asked == {"good.example": 1}


async def test_an_old_answer_is_used_while_the_name_server_is_away() -> None:
    clock = ManualClock()
    with names() as server:
        resolver = NameResolver(server.lookup, clock)
        found = await resolver.resolve("good.example")
        server.is_away.set()
        clock.advance(3600.0)
        assert await resolver.resolve("good.example") == found
        server.addresses.clear()
        server.woken.set()  # it answers: there is no such name
        clock.advance(60.0)
        assert await resolver.resolve("good.example") == found
        clock.advance(86_400.0)
        with pytest.raises(OSError, match="not known"):
            await resolver.resolve("good.example")


async def test_a_name_is_resolved_again_after_a_while_and_when_its_address_failed() -> None:
    clock = ManualClock()
    with names() as server:
        resolver = NameResolver(server.lookup, clock)
        await resolver.resolve("good.example")
        server.addresses["good.example"] = ["127.0.0.2"]
        assert [at[0] for *_, at in await resolver.resolve("good.example")] == [HERE]
        clock.advance(31.0)
        assert [at[0] for *_, at in await resolver.resolve("good.example")] == ["127.0.0.2"]
        server.addresses["good.example"] = [HERE]
        resolver.doubt("good.example")
        assert [at[0] for *_, at in await resolver.resolve("good.example")] == [HERE]
        assert server.asked["good.example"] == 3


async def test_lookups_under_way_and_names_remembered_are_bounded() -> None:
    with names() as server:
        resolver = NameResolver(server.lookup)
        found = await resolver.resolve("good.example")
        waiting = await ask_all(resolver, dead(200))
        refused = [task for task in waiting if task.done()]
        assert (len(refused), sum(server.asked.values())) == (200 - 64, 65)
        assert all("too many" in str(task.exception()) for task in refused)
        assert await resolver.resolve("good.example") == found
        server.woken.set()
        await asyncio.wait(waiting)
        for number in range(1200):
            with pytest.raises(OSError, match="not known"):
                await resolver.resolve(f"n{number}.example")
        assert len(resolver._names) == 1000


async def test_a_remembered_address_is_checked_each_time_and_dialled_as_checked() -> None:
    clock = ManualClock()
    with names() as server:
        resolver = NameResolver(server.lookup, clock)

        async def resolve(host: str) -> list[str]:
            return [str(at[0]) for *_, at in await resolver.resolve(host)]

        guard = AddressGuard(resolve=resolve)
        server.addresses["rebound.example"] = ["93.184.216.34"]
        assert await guard.addresses("rebound.example") == ["93.184.216.34"]
        server.addresses["rebound.example"] = ["10.0.0.5"]
        clock.advance(31.0)
        for _ in range(2):
            with pytest.raises(AddressRefusedError):
                await guard.addresses("rebound.example")
        assert server.asked["rebound.example"] == 2
