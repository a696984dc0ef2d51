"""The speech process of a worker is started again when it ends, and no more often than useful."""

import asyncio
import logging
import math

import pytest

from agent.speech.process.child import SpeechProcessError
from agent.speech.process.supervisor import Running, Supervisor
from llm_router.clock import Clock
from llm_router.testing import ManualClock


class ShortLived:
    """A process that ends by itself."""

    def __init__(self, clock: Clock, seconds: float, hangs_after: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._hangs_at = clock.now() + hangs_after
        self.is_closed = False

    async def wait(self) -> int:
        await self._clock.sleep(self._seconds)
        return -9

    async def answers(self) -> bool:
        if self._clock.now() < self._hangs_at:
            return True
        await self._clock.sleep(10)
        return False

    async def aclose(self) -> None:
        self.is_closed = True


class Starter:
    """Starts processes that last so many seconds, one after another; 0: it does not start."""

    def __init__(self, clock: Clock, *lives: float, hangs_after: float = math.inf) -> None:
        self._clock = clock
        self._lives = [*lives]
        self._hangs_after = hangs_after
        self.starts: list[float] = []
        self.processes: list[ShortLived] = []

    async def start(self) -> Running:
        self.starts.append(self._clock.now())
        seconds = self._lives.pop(0) if self._lives else 1e9
        if not seconds:
            raise SpeechProcessError("its model is damaged")
        self.processes.append(ShortLived(self._clock, seconds, self._hangs_after))
        return self.processes[-1]


def starts(*lives: float, seconds: float = 400.0, hangs_after: float = math.inf) -> list[float]:
    """Returns the moments of the starts (s)."""
    clock = ManualClock()
    starter = Starter(clock, *lives, hangs_after=hangs_after)

    async def supervise() -> None:
        running = asyncio.create_task(Supervisor(starter.start, clock).run())
        await clock.sleep(seconds)
        running.cancel()
        await asyncio.wait({running})

    clock.run(supervise())
    assert all(process.is_closed for process in starter.processes)
    return [round(moment, 1) for moment in starter.starts]


def test_a_process_that_dies_is_started_again_soon() -> None:
    assert starts(100.0) == [0, 100.5]


def test_one_that_always_fails_is_started_less_and_less_often() -> None:
    assert starts(*[0.0] * 9, seconds=100) == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 61.5, 91.5]


def test_a_process_that_hangs_is_ended_and_started_again() -> None:
    # The checks at 100 and 115 s stay without an answer for 10 s each.
    assert starts(hangs_after=98.0, seconds=200.0) == [0, 125.5]


def test_after_a_long_life_the_pauses_are_short_again() -> None:
    assert starts(0.0, 0.0, 0.0, 100.0) == [0, 0.5, 1.5, 3.5, 104.0]


def test_an_outage_is_logged_once_with_its_reason_and_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    starts(50.0, 0.0, 0.0)
    away = "the speech process is away, and the embedded engines take its place: it ended with"
    assert [record.getMessage() for record in caplog.records] == [
        f"{away} status -9",
        "the speech process is back",
    ]


@pytest.mark.parametrize("life", [0.0, 50.0])
def test_the_first_attempt_is_over_once_the_process_listens_or_fails(life: float) -> None:
    clock = ManualClock()

    async def tried() -> float:
        supervisor = Supervisor(Starter(clock, life).start, clock)
        running = asyncio.create_task(supervisor.run())
        await supervisor.tried()
        running.cancel()
        await asyncio.wait({running})
        return clock.now()

    assert clock.run(tried()) == 0
