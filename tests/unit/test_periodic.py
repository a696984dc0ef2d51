"""PeriodicTask and OutageLog: work that is repeated, and an outage that is logged once."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from llm_router.errors import StoreError
from llm_router.periodic import OutageLog, PeriodicTask, side_by_side
from llm_router.testing import ManualClock

EVERY = 10.0
DOWN, UP = "nothing is done until the store answers", "it is done again"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "llm_router")
    return caplog


class Steps:
    """A step that notes when it began; `work` is what it then does."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.began: list[float] = []
        self.ended = 0
        self.work: Callable[[], Awaitable[None]] | None = None
        self.task = PeriodicTask(self.step, clock, EVERY, name="steps", outage=OutageLog(DOWN, UP))

    async def step(self) -> None:
        self.began.append(round(self.clock.now(), 3))
        if self.work:
            await self.work()
        self.ended += 1

    async def fail(self) -> None:
        raise StoreError("database d: refused")

    async def hang(self) -> None:
        await self.clock.sleep(1_000)


def test_an_outage_is_logged_once_and_so_is_its_end(log: pytest.LogCaptureFixture) -> None:
    outage = OutageLog(DOWN, UP)
    outage.succeeded()
    for _ in range(2):
        outage.failed(StoreError("refused"))
        outage.failed(TimeoutError())
        assert outage.is_out
        outage.succeeded()
        outage.succeeded()
    outage.failed(TimeoutError())
    assert log.messages == [
        f"{DOWN}: refused", UP, f"{DOWN}: refused", UP, f"{DOWN}: it gave no answer in time",
    ]  # fmt: skip


@pytest.mark.parametrize(("delay", "began"), [(0.0, [0, 10, 20]), (4.0, [4, 14, 24])])
def test_a_step_is_repeated_after_a_pause_until_the_task_is_closed(
    delay: float, began: list[float]
) -> None:
    clock = ManualClock()

    async def main() -> None:
        steps = Steps(clock)
        steps.task.start(delay=delay)
        await clock.sleep(25)
        await steps.task.aclose()
        await clock.sleep(100)
        assert steps.began == began

    clock.run(main())


def test_waking_ends_the_pause_early() -> None:
    clock = ManualClock()

    async def main() -> None:
        steps = Steps(clock)
        steps.task.start()
        await clock.sleep(3)
        steps.task.wake()
        await clock.sleep(11)
        await steps.task.aclose()
        assert steps.began == [0, 3, 13]

    clock.run(main())


def test_a_store_that_fails_is_tried_again_at_the_next_turn(log: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()

    async def main() -> None:
        steps = Steps(clock)
        steps.work = steps.fail
        steps.task.start()
        await clock.sleep(15)
        steps.work = None
        await clock.sleep(10)
        await steps.task.aclose()
        assert (len(steps.began), steps.ended) == (3, 1)

    clock.run(main())
    assert log.messages == [f"{DOWN}: database d: refused", UP]


def test_a_bug_ends_the_task_and_is_logged(log: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()

    async def divide() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        steps = Steps(clock)
        steps.work = divide
        steps.task.start()
        await clock.sleep(100)
        await steps.task.aclose()
        assert steps.began == [0]

    clock.run(main())
    assert "the task 'steps' ended because of a bug" in log.text
    assert "ZeroDivisionError" in log.text


def test_a_step_that_takes_too_long_is_cancelled_and_counts_as_an_outage(
    log: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()

    async def main() -> None:
        steps = Steps(clock)
        steps.work = steps.hang
        await steps.task.step_within(2)
        assert clock.now() == pytest.approx(2)
        steps.work = None
        await steps.task.step_within(2)
        assert steps.ended == 1

    clock.run(main())
    assert log.messages == [f"{DOWN}: it gave no answer in time", UP]


def test_closing_cuts_a_step_off() -> None:
    clock = ManualClock()

    async def main() -> None:
        steps = Steps(clock)
        steps.work = steps.hang
        steps.task.start()
        await clock.sleep(1)
        await steps.task.aclose()
        assert (steps.began, steps.ended) == ([0], 0)
        assert clock.now() == pytest.approx(1)

    clock.run(main())


def test_a_last_step_follows_the_one_that_is_running_and_does_not_overlap_it() -> None:
    clock = ManualClock()

    async def main() -> None:
        steps = Steps(clock)
        steps.work = lambda: clock.sleep(3)
        steps.task.start()
        await clock.sleep(1)
        await steps.task.aclose(last_step_within=20)
        assert (steps.began, steps.ended) == ([0, 3], 2)
        assert clock.now() == pytest.approx(6)

    clock.run(main())


def test_closing_waits_no_longer_for_a_last_step_than_it_may(
    log: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()

    async def main() -> None:
        steps = Steps(clock)
        steps.work = steps.hang
        steps.task.start()
        await clock.sleep(1)
        await steps.task.aclose(last_step_within=2)
        assert (steps.began, steps.ended) == ([0], 0)
        assert clock.now() == pytest.approx(3)

    clock.run(main())
    assert log.messages == [f"{DOWN}: it gave no answer in time"]


def test_closing_one_that_was_never_started_does_nothing() -> None:
    clock = ManualClock()

    async def main() -> None:
        steps = Steps(clock)
        await steps.task.aclose()
        assert steps.began == []

    clock.run(main())


async def test_works_that_run_side_by_side_end_side_by_side() -> None:
    ends = asyncio.Barrier(3)
    seen: list[str] = []

    @asynccontextmanager
    async def work(name: str) -> AsyncIterator[None]:
        seen.append(f"begin {name}")
        try:
            yield
        finally:
            await ends.wait()  # passes when all three have come
            seen.append("end")

    async with side_by_side(work("a"), work("b"), work("c")):
        assert seen == ["begin a", "begin b", "begin c"]
    assert seen[3:] == ["end"] * 3


async def test_a_work_that_does_not_begin_ends_those_before_it() -> None:
    ended: list[str] = []

    @asynccontextmanager
    async def work(*, fails: bool = False) -> AsyncIterator[None]:
        if fails:
            raise StoreError("no database")
        yield
        ended.append("first")

    with pytest.raises(StoreError):
        async with side_by_side(work(), work(fails=True)):
            pass
    assert ended == ["first"]
