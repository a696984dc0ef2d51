"""What the keeper makes of clocks that differ and of boards that fail, on a clock that jumps."""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import pytest

from llm_router.failures import Failure, FailureClass
from llm_router.routing.endpoint import Endpoint
from llm_router.sync.scoreboard.base import Entry, News, Note, ScoreboardError, key_of
from llm_router.sync.scoreboard.keeper import Keeper
from llm_router.sync.scoreboard.memory import InMemoryScoreboard
from llm_router.testing import ManualClock, ScriptedProvider
from tests.contracts.boards import OPEN, A, fail, note, process


def test_processes_with_clocks_of_their_own_agree_on_the_moment() -> None:
    """A monotonic clock's zero means nothing to another process: the wall clock stands between."""
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


def test_until_changed_is_a_minute_for_those_who_are_told() -> None:
    """A key may be put right at the server; a new call must not inherit the verdict for ever."""
    clock, board = ManualClock(), InMemoryScoreboard()

    async def main() -> None:
        async with process(board, clock) as (mine, my_keeper):
            fail(mine, clock.now(), Failure(FailureClass.REJECTED_KEY, "HTTP 401"))
            await my_keeper.step()
            await my_keeper.step()
            async with process(board, clock) as (yours, _):
                assert yours.breaker.state(clock.now() + 50.0) == "open"
                assert yours.breaker.state(clock.now() + 61.0) == "half-open"
            assert mine.breaker.state(clock.now() + 1e9) == "open"

    clock.run(main())


def test_a_wall_clock_set_wrong_cannot_shut_an_endpoint_out_for_days() -> None:
    clock, board = ManualClock(), InMemoryScoreboard()

    async def main() -> None:
        far = replace(OPEN, open_until=clock.wall() + 30 * 86_400.0)
        await board.write([note(key_of(A), clock.wall(), breaker=far)])
        async with process(board, clock) as (endpoint, _):
            assert endpoint.breaker.state(clock.now() + 3_601.0) == "half-open"

    clock.run(main())


def test_both_are_told_in_the_background_within_two_seconds() -> None:
    clock, board = ManualClock(), InMemoryScoreboard()

    async def main() -> None:
        async with process(board, clock) as (mine, _), process(board, clock) as (yours, _):
            fail(mine, clock.now())
            opened = clock.now()
            while yours.breaker.state(clock.now()) == "closed":
                await clock.sleep(0.05)
            assert clock.now() - opened < 2.0

    clock.run(main())


class Dead(InMemoryScoreboard):
    """A board that does nothing until it is well."""

    def __init__(self, *, hangs: bool = False) -> None:
        super().__init__()
        self.hangs, self.well = hangs, False

    async def read(self, keys: Collection[str]) -> Mapping[str, Entry]:
        await self._or_not()
        return await super().read(keys)

    async def write(self, notes: Sequence[Note]) -> None:
        await self._or_not()
        await super().write(notes)

    async def news(self, since: int) -> News:
        await self._or_not()
        return await super().news(since)

    async def _or_not(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if not self.well:
            raise ScoreboardError("scoreboard x: broken")


def test_a_dead_board_is_one_warning_and_nothing_learnt_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, board = ManualClock(), Dead()
    caplog.set_level(logging.INFO, "llm_router")

    async def main() -> None:
        async with process(board, clock) as (endpoint, _):
            for _ in range(5):
                endpoint.latency.record_first_word(0, 0.3, clock.now())
                await clock.sleep(2.0)
            assert [record.levelname for record in caplog.records] == ["WARNING"]
            board.well = True
            await clock.sleep(1.0)
            assert caplog.records[-1].getMessage() == "the scoreboard is back"
        [entry] = (await board.read({key_of(A)})).values()
        assert sum(entry.weights.values()) == pytest.approx(5, rel=0.02)

    clock.run(main())


def test_a_board_that_hangs_holds_a_call_up_for_a_quarter_of_a_second() -> None:
    clock, board = ManualClock(), Dead(hangs=True)

    async def main() -> None:
        endpoint = Endpoint(A, ScriptedProvider([]))
        keeper = Keeper(board, lambda: [endpoint], clock)
        started = clock.now()
        await keeper.start()
        assert clock.now() - started == pytest.approx(0.25, abs=0.01)
        await keeper.aclose()

    clock.run(main())


def test_a_board_that_hangs_holds_up_the_end_of_a_call_for_two_seconds() -> None:
    clock, board = ManualClock(), Dead(hangs=True)

    async def main() -> None:
        endpoint = Endpoint(A, ScriptedProvider([]))
        keeper = Keeper(board, lambda: [endpoint], clock)
        await keeper.start()
        await clock.sleep(1.0)  # in which it has begun a step
        stopped = clock.now()
        await keeper.aclose()
        assert clock.now() - stopped == pytest.approx(2.0, abs=0.01)

    clock.run(main())
