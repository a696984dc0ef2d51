"""ScoreboardSync: processes whose clocks differ, and boards that fail, on a clock that jumps."""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import pytest

from llm_router.errors import ScoreboardError
from llm_router.failures import Failure, FailureClass
from llm_router.routing.endpoint import Endpoint
from llm_router.sync.scoreboard.base import (
    BreakerChanges,
    Entry,
    Report,
    fingerprint,
)
from llm_router.sync.scoreboard.memory import InMemoryScoreboard
from llm_router.sync.scoreboard.sync import ScoreboardSync
from llm_router.testing import ManualClock, ScriptedProvider
from tests.contracts.boards import OPEN, A, fail, process, report


def test_processes_with_different_clocks_agree_when_a_breaker_opens() -> None:
    """A monotonic clock's zero means nothing to another process; the wall clock translates."""
    early, late = ManualClock(now=10.0), ManualClock(now=10.0)
    board = InMemoryScoreboard()

    async def here() -> None:
        async with process(board, early) as (endpoint, _):
            fail(endpoint, early.now())

    class Elsewhere(ManualClock):
        def now(self) -> float:
            return super().now() + 5_000.0

    async def there() -> None:
        clock = Elsewhere(now=10.0)
        async with process(board, clock) as (endpoint, _):
            assert endpoint.breaker.state(clock.now()) == "open"
            assert endpoint.breaker.opens_again_at() == pytest.approx(clock.now() + 2.0, abs=0.2)

    early.run(here())
    late.run(there())


def test_until_changed_is_a_minute_in_other_processes() -> None:
    """A key may be put right at the server; a new call must not inherit the verdict for ever."""
    clock, board = ManualClock(), InMemoryScoreboard()

    async def main() -> None:
        async with process(board, clock) as (mine, my_sync):
            fail(mine, clock.now(), Failure(FailureClass.REJECTED_KEY, "HTTP 401"))
            await my_sync.step()
            await my_sync.step()
            async with process(board, clock) as (yours, _):
                assert yours.breaker.state(clock.now() + 50.0) == "open"
                assert yours.breaker.state(clock.now() + 61.0) == "half-open"
            assert mine.breaker.state(clock.now() + 1e9) == "open"

    clock.run(main())


def test_a_wrong_wall_clock_cannot_exclude_an_endpoint_for_days() -> None:
    clock, board = ManualClock(), InMemoryScoreboard()

    async def main() -> None:
        far = replace(OPEN, open_until=clock.wall() + 30 * 86_400.0)
        await board.write([report(fingerprint(A), clock.wall(), breaker=far)])
        async with process(board, clock) as (endpoint, _):
            assert endpoint.breaker.state(clock.now() + 3_601.0) == "half-open"

    clock.run(main())


def test_an_open_breaker_reaches_another_process_within_two_seconds() -> None:
    clock, board = ManualClock(), InMemoryScoreboard()

    async def main() -> None:
        async with process(board, clock) as (mine, _), process(board, clock) as (yours, _):
            fail(mine, clock.now())
            opened = clock.now()
            while yours.breaker.state(clock.now()) == "closed":
                await clock.sleep(0.05)
            assert clock.now() - opened < 2.0

    clock.run(main())


class BrokenBoard(InMemoryScoreboard):
    """A board that fails or hangs until `works` is set."""

    def __init__(self, *, hangs: bool = False) -> None:
        super().__init__()
        self.hangs = hangs
        self.works = False

    async def read(self, keys: Collection[str]) -> Mapping[str, Entry]:
        await self._fail()
        return await super().read(keys)

    async def write(self, reports: Sequence[Report]) -> None:
        await self._fail()
        await super().write(reports)

    async def breaker_changes(self, since: int) -> BreakerChanges:
        await self._fail()
        return await super().breaker_changes(since)

    async def _fail(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if not self.works:
            raise ScoreboardError("scoreboard x: broken")


def test_a_broken_board_is_one_warning_and_no_measurement_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, board = ManualClock(), BrokenBoard()
    caplog.set_level(logging.INFO, "llm_router")

    async def main() -> None:
        async with process(board, clock) as (endpoint, _):
            for _ in range(5):
                endpoint.latency.record_first_word(0, 0.3, clock.now())
                await clock.sleep(2.0)
            assert [record.levelname for record in caplog.records] == ["WARNING"]
            board.works = True
            await clock.sleep(1.0)
            assert caplog.records[-1].getMessage() == "the scoreboard answers again"
        [entry] = (await board.read({fingerprint(A)})).values()
        assert sum(entry.weights.values()) == pytest.approx(5, rel=0.02)

    clock.run(main())


def test_a_board_that_hangs_delays_the_start_of_a_call_by_a_quarter_of_a_second() -> None:
    clock, board = ManualClock(), BrokenBoard(hangs=True)

    async def main() -> None:
        endpoint = Endpoint(A, ScriptedProvider([]))
        sync = ScoreboardSync(board, lambda: [endpoint], clock)
        started = clock.now()
        await sync.start()
        assert clock.now() - started == pytest.approx(0.25, abs=0.01)
        await sync.aclose()

    clock.run(main())


def test_a_board_that_hangs_delays_the_end_of_a_call_by_two_seconds() -> None:
    clock, board = ManualClock(), BrokenBoard(hangs=True)

    async def main() -> None:
        endpoint = Endpoint(A, ScriptedProvider([]))
        sync = ScoreboardSync(board, lambda: [endpoint], clock)
        await sync.start()
        await clock.sleep(1.0)  # a step begins meanwhile
        stopped = clock.now()
        await sync.aclose()
        assert clock.now() - stopped == pytest.approx(2.0, abs=0.01)

    clock.run(main())
