"""Work on the threads of the speech process ends, whatever becomes of its waiter."""

import asyncio
import threading

import pytest

from agent.speech.process.schedule import Rank
from agent.speech.process.threads import STUCK_AFTER, Threads
from llm_router.testing import ManualClock


def test_work_that_never_ends_is_reported_after_a_minute() -> None:
    clock = ManualClock()
    end = threading.Event()
    reported: list[float] = []

    def on_stuck() -> None:
        reported.append(clock.now())
        end.set()

    async def work() -> None:
        threads = Threads(1, 1, clock, on_stuck)
        assert await threads.run(Rank.FINAL, lambda: "done") == "done"
        await threads.run(Rank.FINAL, end.wait)
        threads.close()

    clock.run(work())
    assert [round(moment) for moment in reported] == [STUCK_AFTER]


def test_a_place_is_free_again_after_work_that_failed_or_was_cancelled() -> None:
    async def work() -> None:
        threads = Threads(1, 1, ManualClock(), lambda: None)
        with pytest.raises(ZeroDivisionError):
            await threads.run(Rank.FINAL, lambda: 1 / 0)
        end = threading.Event()
        running = asyncio.create_task(threads.run(Rank.FINAL, end.wait))
        waiting = asyncio.create_task(threads.run(Rank.FINAL, end.set))
        while threads.schedule.waiting == 0 or threads.schedule.running == 0:
            await asyncio.to_thread(int)
        for task in (waiting, running):
            task.cancel()
        end.set()
        await asyncio.wait({waiting, running})
        assert repr(threads.schedule) == "<Schedule running=0 of 1 waiting=[]>"
        assert await threads.run(Rank.FINAL, lambda: "next") == "next"
        threads.close()

    asyncio.run(work())
