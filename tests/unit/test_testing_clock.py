"""ManualClock, as a clock and as the time of an event loop."""

import asyncio
import socket

import pytest

from llm_router.clock import checkpoint
from llm_router.testing import ManualClock


def test_time_stands_still_until_it_is_advanced() -> None:
    clock = ManualClock(now=5.0)
    assert clock.now() == 5.0
    clock.advance(2.5)
    assert clock.now() == 7.5


def test_a_day_of_sleep_takes_no_time_and_a_day() -> None:
    clock = ManualClock()
    clock.run(clock.sleep(86_400.0))
    assert clock.now() == pytest.approx(86_400.0)


def test_a_run_returns_the_result_and_raises_the_error_of_its_main() -> None:
    async def answer() -> int:
        return 42

    async def fault() -> None:
        raise ZeroDivisionError

    assert ManualClock().run(answer()) == 42
    with pytest.raises(ZeroDivisionError):
        ManualClock().run(fault())


def test_sleepers_wake_in_the_order_of_their_timers() -> None:
    clock = ManualClock()
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, round(clock.now(), 6)))

    async def main() -> None:
        await asyncio.gather(sleeper("c", 3.0), sleeper("a", 1.0), sleeper("b", 2.0))

    clock.run(main())
    assert woken == [("a", 1.0), ("b", 2.0), ("c", 3.0)]


def test_asyncios_own_timers_are_on_the_same_clock() -> None:
    clock = ManualClock()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30.0):
                await asyncio.Event().wait()

    clock.run(main())
    assert clock.now() == pytest.approx(30.0)


def test_a_callback_runs_at_its_time_unless_cancelled() -> None:
    clock = ManualClock(now=10.0)
    called: list[float] = []

    async def main() -> None:
        clock.call_at(12.0, lambda: called.append(round(clock.now(), 6)))
        clock.call_at(11.0, lambda: called.append(clock.now())).cancel()
        await clock.sleep(5.0)

    clock.run(main())
    assert called == [12.0]


def test_ready_work_runs_before_time_moves() -> None:
    clock = ManualClock()
    steps: list[float] = []

    async def busy() -> None:
        for _ in range(100):
            await checkpoint()
            steps.append(clock.now())

    async def main() -> None:
        await asyncio.gather(busy(), clock.sleep(1.0))

    clock.run(main())
    assert steps == [0.0] * 100


def test_a_run_in_which_every_task_waits_for_ever_raises() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="every task waits"):
        ManualClock(deadlock_after=0.01).run(main())


def test_a_thread_may_still_wake_a_loop_without_timers() -> None:
    async def main() -> str:
        return await asyncio.to_thread(lambda: "done")

    assert ManualClock().run(main()) == "done"


def test_bytes_between_two_ends_in_one_loop_arrive_before_time_moves() -> None:
    clock = ManualClock(socket_wait=0.001)

    async def main() -> list[bytes]:
        loop = asyncio.get_running_loop()
        here, there = socket.socketpair()
        here.setblocking(False)
        there.setblocking(False)

        async def echo() -> None:
            while data := await loop.sock_recv(there, 1):
                await loop.sock_sendall(there, data)

        async def ask(letter: bytes) -> bytes:
            await loop.sock_sendall(here, letter)
            return await loop.sock_recv(here, 1)

        with here, there:
            echoing = asyncio.create_task(echo())
            async with asyncio.timeout(1e-3):
                echoed = [await ask(b"%d" % number) for number in range(10)]
            here.shutdown(socket.SHUT_WR)
            await echoing
        return echoed

    assert clock.run(main()) == [b"%d" % number for number in range(10)]
    assert clock.now() == 0.0
