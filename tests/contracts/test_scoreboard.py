"""The contract of all scoreboards; tests of the file alone are in test_scoreboard_file."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_router.clock import SystemClock
from llm_router.failures import Failure, FailureClass
from llm_router.routing.breaker import BreakerRecord
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.latency import HALF_LIFE, Latency
from llm_router.sync.scoreboard.base import Scoreboard, fingerprint, merge
from llm_router.sync.scoreboard.memory import InMemoryScoreboard
from llm_router.sync.scoreboard.sql import SqlScoreboard
from llm_router.sync.scoreboard.sqlite import SqliteScoreboard
from llm_router.sync.scoreboard.sync import ScoreboardSync
from llm_router.testing import ScriptedProvider
from tests.contracts.boards import NOW, OPEN, PATIENCE, A, fail, process, report
from tests.contracts.databases import Server, opened

Boards = Callable[[], Scoreboard]
"""Opens the board once more, as another process would."""


@pytest.fixture(params=["memory", "file", "sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str | Server:
    """Returns the place of the board: memory, a file, or a database server."""
    name: str = request.param
    if name in {"memory", "file"}:
        return name
    server: Server = request.getfixturevalue("postgres" if name == "postgresql" else "files")
    return server


@pytest.fixture
async def boards(kind: str | Server, tmp_path: Path) -> AsyncIterator[Boards]:
    shared = InMemoryScoreboard()
    url = "" if isinstance(kind, str) else await kind.new()
    async with AsyncExitStack() as stack:
        databases = [await stack.enter_async_context(opened(url)) for _ in range(4 if url else 0)]
        each = cycle(databases)

        def another() -> Scoreboard:
            if kind == "memory":
                return shared
            if url:
                return SqlScoreboard(next(each))
            board = SqliteScoreboard(tmp_path / "folder" / "board.sqlite3")
            stack.push_async_callback(board.aclose)
            return board

        yield another


# ── Adding up ────────────────────────────────────────────────────────────────────────────────────

SAMPLES = st.lists(
    st.tuples(st.integers(0, 2), st.floats(0.01, 30.0), st.booleans(), st.floats(0.0, 3_000.0)),
    min_size=1,
    max_size=30,
)
"""Each: process, seconds measured, whether it ended, time of the measurement (s)."""


@settings(deadline=None)
@given(SAMPLES)
def test_measurements_of_three_processes_add_up_to_those_of_one(
    samples: list[tuple[int, float, bool, float]],
) -> None:
    alone, parts = Latency(), [Latency(), Latency(), Latency()]
    for process_number, seconds, ended, at in sorted(samples, key=lambda sample: sample[3]):
        for latency in (alone, parts[process_number]):
            if ended:
                latency.record_first_word(0, seconds, at)
            else:
                latency.record_at_least(0, seconds, at)
    entry = None
    for number, part in enumerate(parts):
        at = 3_000.0 + 100.0 * number
        entry = merge(entry, report(at=NOW + at, weights=part.weights(at)), 0)
    assert entry is not None
    together, end = Latency(), entry.at - NOW
    together.add_weights(entry.weights, end)
    assert together.weights(end) == pytest.approx(dict(alone.weights(end)), abs=5e-3)
    for q in (0.5, 0.95):
        assert together.first_word(0).quantile(q) == alone.first_word(0).quantile(q)


# ── Every board ──────────────────────────────────────────────────────────────────────────────────


async def test_an_empty_board_has_no_entries(boards: Boards) -> None:
    board = boards()
    assert await board.read({"a"}) == {}
    assert (await board.breaker_changes(0)).breakers == {}


async def test_a_report_of_one_process_is_read_by_another(boards: Boards) -> None:
    await boards().write([report(weights={3: 2.0}, breaker=OPEN), report("b", weights={4: 1.0})])
    found = await boards().read({"a", "c"})
    assert set(found) == {"a"}
    assert found["a"].weights == {3: 2.0}
    assert (found["a"].name, found["a"].breaker) == ("a", OPEN)


async def test_reports_of_several_processes_add_up(boards: Boards) -> None:
    one, other = boards(), boards()
    await one.write([report(weights={3: 2.0, 7: 1.0})])
    await other.write([report(weights={3: 1.0})])
    await one.write([report(weights={7: 0.5})])
    assert (await other.read({"a"}))["a"].weights == {3: 3.0, 7: 1.5}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_samples_decay_and_reports_may_come_in_any_order(
    boards: Boards, order: tuple[int, int]
) -> None:
    reports = [report(weights={3: 4.0}), report(at=NOW + HALF_LIFE, weights={3: 1.0})]
    board = boards()
    for index in order:
        await board.write([reports[index]])
    entry = (await board.read({"a"}))["a"]
    assert entry.weights == pytest.approx({3: 4.0 / 2 + 1.0})
    assert entry.at == NOW + HALF_LIFE


async def test_decay_is_not_lost_to_rounding_over_many_small_reports(boards: Boards) -> None:
    board = boards()
    await board.write([report(weights={3: 1.0})])
    for step in range(1, 241):
        await board.write([report(at=NOW + step * HALF_LIFE / 240)])
    assert (await board.read({"a"}))["a"].weights[3] == pytest.approx(0.5, rel=1e-3)


async def test_a_breaker_change_is_returned_once(boards: Boards) -> None:
    board = boards()
    await boards().write([report(breaker=OPEN)])
    changes = await board.breaker_changes(0)
    assert changes.breakers == {"a": OPEN}
    assert (await board.breaker_changes(changes.version)).breakers == {}
    await boards().write([report("b", breaker=OPEN)])
    assert set((await board.breaker_changes(changes.version)).breakers) == {"b"}


async def test_latencies_alone_are_no_breaker_change(boards: Boards) -> None:
    board = boards()
    await board.write([report(weights={1: 1.0})])
    assert (await board.breaker_changes(0)).breakers == {}


async def test_of_two_openings_the_longer_holds_and_a_closing_ends_it(boards: Boards) -> None:
    board = boards()
    longer = BreakerRecord(True, NOW + 60.0, 3, "overloaded")
    await board.write([report(breaker=longer)])
    await board.write([report(breaker=OPEN)])
    assert (await board.breaker_changes(0)).breakers == {"a": longer}
    await board.write([report(breaker=BreakerRecord())])
    assert (await board.breaker_changes(0)).breakers == {"a": BreakerRecord()}


async def test_concurrent_reports_are_all_added_and_their_versions_rise(boards: Boards) -> None:
    each = [boards() for _ in range(3)]
    reports = [[report(f"k{n}", breaker=OPEN), report("a", weights={3: 1.0})] for n in range(9)]
    await asyncio.gather(*(each[n % 3].write(both) for n, both in enumerate(reports)))
    found = await each[0].read({"a", *(f"k{n}" for n in range(9))})
    assert found["a"].weights == {3: 9.0}
    assert len({entry.version for key, entry in found.items() if key != "a"}) == 9


# ── ScoreboardSync, over each ────────────────────────────────────────────────────────────────────


async def test_the_next_call_starts_from_the_measurements_of_this_one(boards: Boards) -> None:
    clock = SystemClock()
    async with process(boards(), clock) as (endpoint, _):
        for _ in range(8):
            endpoint.latency.record_first_word(0, 0.3, clock.now())
        endpoint.latency.record_first_clause(1, 0.7, clock.now())
    async with process(boards(), clock) as (fresh, _):
        assert fresh.latency.first_word(0).quantile(0.5) == pytest.approx(0.3, rel=0.1)
        assert fresh.latency.first_word(0).count(clock.now()) == pytest.approx(8, rel=0.01)
        assert fresh.predicted(1) == pytest.approx(0.7, rel=0.1)


async def test_no_sample_counts_twice_over_several_calls(boards: Boards) -> None:
    clock = SystemClock()
    for _ in range(4):
        async with process(boards(), clock) as (endpoint, sync):
            endpoint.latency.record_first_word(0, 0.3, clock.now())
            await sync.step()
            await sync.step()
    [entry] = (await boards().read({fingerprint(A)})).values()
    assert sum(entry.weights.values()) == pytest.approx(4, rel=0.01)


async def test_samples_inherited_from_an_earlier_endpoint_are_not_reported_again(
    boards: Boards,
) -> None:
    clock, endpoint = SystemClock(), Endpoint(A, ScriptedProvider([]))
    endpoint.latency.add_weights({40: 5.0}, clock.now())
    sync = ScoreboardSync(boards(), lambda: [endpoint], clock, start_within=PATIENCE)
    await sync.start()
    endpoint.latency.record_first_word(0, 0.3, clock.now())
    await sync.aclose()
    [entry] = (await boards().read({fingerprint(A)})).values()
    assert sum(entry.weights.values()) == pytest.approx(1, rel=0.01)


async def test_initial_samples_are_limited_so_that_a_call_can_outweigh_them(boards: Boards) -> None:
    clock = SystemClock()
    board = boards()
    await board.write([report(fingerprint(A), clock.wall(), {40: 10_000.0, 41: 30_000.0})])
    async with process(boards(), clock) as (endpoint, _):
        assert endpoint.latency.first_word(0).count(clock.now()) == pytest.approx(20, rel=0.01)


async def test_samples_that_are_too_old_are_ignored(boards: Boards) -> None:
    clock = SystemClock()
    await boards().write([report(fingerprint(A), clock.wall() - 10 * HALF_LIFE, {40: 100.0})])
    async with process(boards(), clock) as (endpoint, _):
        assert endpoint.predicted(0) is None


async def test_opening_and_closing_reach_the_other_process(boards: Boards) -> None:
    clock = SystemClock()
    async with (
        process(boards(), clock) as (mine, my_sync),
        process(boards(), clock) as (yours, your_sync),
    ):
        fail(mine, clock.now())
        await my_sync.step()
        await your_sync.step()
        assert yours.breaker.state(clock.now()) == "open"
        assert yours.breaker.reason == "unreachable"
        assert yours.breaker.opens_again_at() == pytest.approx(
            mine.breaker.opens_again_at(), abs=0.1
        )
        yours.breaker.succeeded(yours.breaker.generation)
        await your_sync.step()
        await my_sync.step()
        assert mine.breaker.state(clock.now()) == "closed"


async def test_a_process_does_not_adopt_its_own_report(boards: Boards) -> None:
    clock = SystemClock()
    async with process(boards(), clock) as (endpoint, sync):
        fail(endpoint, clock.now())
        generation = endpoint.breaker.generation
        await sync.step()
        await sync.step()
        assert endpoint.breaker.generation == generation


async def test_a_new_call_starts_with_an_open_breaker(boards: Boards) -> None:
    clock = SystemClock()
    async with process(boards(), clock) as (endpoint, _):
        fail(endpoint, clock.now())
    async with process(boards(), clock) as (fresh, _):
        assert fresh.breaker.state(clock.now()) == "open"


@pytest.mark.parametrize(
    "change",
    [
        {"base_url": "http://127.0.0.1:2/v1"},
        {"model_name": "other"},
        {"api_key": "sk-put-right"},
        {"headers": {"x-key": "1"}},
        {"name": "b"},
    ],
)
async def test_a_changed_connection_starts_afresh(
    boards: Boards, change: dict[str, object]
) -> None:
    clock = SystemClock()
    async with process(boards(), clock) as (endpoint, _):
        fail(endpoint, clock.now(), Failure(FailureClass.REJECTED_KEY, "HTTP 401"))
    async with process(boards(), clock, replace(A, **change)) as (fresh, _):  # type: ignore[arg-type]  # fields by name
        assert fresh.breaker.state(clock.now()) == "closed"
