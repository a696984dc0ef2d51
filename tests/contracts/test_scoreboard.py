"""All scoreboards keep the same promises; what is the file's own is in test_scoreboard_file."""

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
from tests.contracts.boards import NOW, OPEN, PATIENCE, A, fail, note, process
from tests.contracts.databases import Server, opened

Boards = Callable[[], Scoreboard]
"""Opens the one board once more, as another process would."""


@pytest.fixture(params=["memory", "file", "sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str | Server:
    """What keeps the board: itself, or a database."""
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
"""Who measured, what, whether to its end, and when."""


@settings(deadline=None)
@given(SAMPLES)
def test_what_three_measured_together_is_what_one_would_know(
    samples: list[tuple[int, float, bool, float]],
) -> None:
    alone, parts = Latency(), [Latency(), Latency(), Latency()]
    for who, seconds, ended, at in sorted(samples, key=lambda sample: sample[3]):
        for latency in (alone, parts[who]):
            if ended:
                latency.record_first_word(0, seconds, at)
            else:
                latency.record_at_least(0, seconds, at)
    entry = None
    for number, part in enumerate(parts):
        at = 3_000.0 + 100.0 * number
        entry = merge(entry, note(at=NOW + at, weights=part.weights(at)), 0)
    assert entry is not None
    together, end = Latency(), entry.at - NOW
    together.add_weights(entry.weights, end)
    assert together.weights(end) == pytest.approx(dict(alone.weights(end)), abs=5e-3)
    for q in (0.5, 0.95):
        assert together.first_word(0).quantile(q) == alone.first_word(0).quantile(q)


# ── What every form promises ─────────────────────────────────────────────────────────────────────


async def test_an_empty_board_knows_nothing(boards: Boards) -> None:
    board = boards()
    assert await board.read({"a"}) == {}
    assert (await board.breaker_changes(0)).breakers == {}


async def test_what_one_writes_another_reads(boards: Boards) -> None:
    await boards().write([note(weights={3: 2.0}, breaker=OPEN), note("b", weights={4: 1.0})])
    found = await boards().read({"a", "c"})
    assert set(found) == {"a"}
    assert found["a"].weights == {3: 2.0}
    assert (found["a"].name, found["a"].breaker) == ("a", OPEN)


async def test_the_notes_of_several_add_up(boards: Boards) -> None:
    one, other = boards(), boards()
    await one.write([note(weights={3: 2.0, 7: 1.0})])
    await other.write([note(weights={3: 1.0})])
    await one.write([note(weights={7: 0.5})])
    assert (await other.read({"a"}))["a"].weights == {3: 3.0, 7: 1.5}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_samples_fade_and_notes_may_come_in_any_order(
    boards: Boards, order: tuple[int, int]
) -> None:
    notes = [note(weights={3: 4.0}), note(at=NOW + HALF_LIFE, weights={3: 1.0})]
    board = boards()
    for index in order:
        await board.write([notes[index]])
    entry = (await board.read({"a"}))["a"]
    assert entry.weights == pytest.approx({3: 4.0 / 2 + 1.0})
    assert entry.at == NOW + HALF_LIFE


async def test_fading_is_not_lost_to_many_small_notes(boards: Boards) -> None:
    board = boards()
    await board.write([note(weights={3: 1.0})])
    for step in range(1, 241):
        await board.write([note(at=NOW + step * HALF_LIFE / 240)])
    assert (await board.read({"a"}))["a"].weights[3] == pytest.approx(0.5, rel=1e-3)


async def test_news_are_told_once(boards: Boards) -> None:
    board = boards()
    await boards().write([note(breaker=OPEN)])
    news = await board.breaker_changes(0)
    assert news.breakers == {"a": OPEN}
    assert (await board.breaker_changes(news.version)).breakers == {}
    await boards().write([note("b", breaker=OPEN)])
    assert set((await board.breaker_changes(news.version)).breakers) == {"b"}


async def test_times_alone_are_no_news(boards: Boards) -> None:
    board = boards()
    await board.write([note(weights={1: 1.0})])
    assert (await board.breaker_changes(0)).breakers == {}


async def test_of_two_openings_the_longer_holds_and_a_closing_ends_it(boards: Boards) -> None:
    board = boards()
    longer = BreakerRecord(True, NOW + 60.0, 3, "overloaded")
    await board.write([note(breaker=longer)])
    await board.write([note(breaker=OPEN)])
    assert (await board.breaker_changes(0)).breakers == {"a": longer}
    await board.write([note(breaker=BreakerRecord())])
    assert (await board.breaker_changes(0)).breakers == {"a": BreakerRecord()}


async def test_notes_of_many_at_once_are_all_kept_and_their_versions_rise(boards: Boards) -> None:
    each = [boards() for _ in range(3)]
    notes = [[note(f"k{n}", breaker=OPEN), note("a", weights={3: 1.0})] for n in range(9)]
    await asyncio.gather(*(each[n % 3].write(both) for n, both in enumerate(notes)))
    found = await each[0].read({"a", *(f"k{n}" for n in range(9))})
    assert found["a"].weights == {3: 9.0}
    assert len({entry.version for key, entry in found.items() if key != "a"}) == 9


# ── The keeper, over each ────────────────────────────────────────────────────────────────────────


async def test_the_next_call_starts_from_what_this_one_learnt(boards: Boards) -> None:
    clock = SystemClock()
    async with process(boards(), clock) as (endpoint, _):
        for _ in range(8):
            endpoint.latency.record_first_word(0, 0.3, clock.now())
        endpoint.latency.record_first_clause(1, 0.7, clock.now())
    async with process(boards(), clock) as (fresh, _):
        assert fresh.latency.first_word(0).quantile(0.5) == pytest.approx(0.3, rel=0.1)
        assert fresh.latency.first_word(0).count(clock.now()) == pytest.approx(8, rel=0.01)
        assert fresh.predicted(1) == pytest.approx(0.7, rel=0.1)


async def test_nothing_is_counted_twice_however_many_calls_pass_it_on(boards: Boards) -> None:
    clock = SystemClock()
    for _ in range(4):
        async with process(boards(), clock) as (endpoint, keeper):
            endpoint.latency.record_first_word(0, 0.3, clock.now())
            await keeper.step()
            await keeper.step()
    [entry] = (await boards().read({fingerprint(A)})).values()
    assert sum(entry.weights.values()) == pytest.approx(4, rel=0.01)


async def test_what_an_endpoint_took_over_from_the_one_before_it_is_not_told_again(
    boards: Boards,
) -> None:
    clock, endpoint = SystemClock(), Endpoint(A, ScriptedProvider([]))
    endpoint.latency.add_weights({40: 5.0}, clock.now())
    keeper = ScoreboardSync(boards(), lambda: [endpoint], clock, start_within=PATIENCE)
    await keeper.start()
    endpoint.latency.record_first_word(0, 0.3, clock.now())
    await keeper.aclose()
    [entry] = (await boards().read({fingerprint(A)})).values()
    assert sum(entry.weights.values()) == pytest.approx(1, rel=0.01)


async def test_a_start_weighs_no_more_than_a_call_can_outweigh(boards: Boards) -> None:
    clock = SystemClock()
    board = boards()
    await board.write([note(fingerprint(A), clock.wall(), {40: 10_000.0, 41: 30_000.0})])
    async with process(boards(), clock) as (endpoint, _):
        assert endpoint.latency.first_word(0).count(clock.now()) == pytest.approx(20, rel=0.01)


async def test_what_is_too_old_is_forgotten(boards: Boards) -> None:
    clock = SystemClock()
    await boards().write([note(fingerprint(A), clock.wall() - 10 * HALF_LIFE, {40: 100.0})])
    async with process(boards(), clock) as (endpoint, _):
        assert endpoint.predicted(0) is None


async def test_an_opening_travels_and_so_does_the_closing(boards: Boards) -> None:
    clock = SystemClock()
    async with (
        process(boards(), clock) as (mine, my_keeper),
        process(boards(), clock) as (yours, your_keeper),
    ):
        fail(mine, clock.now())
        await my_keeper.step()
        await your_keeper.step()
        assert yours.breaker.state(clock.now()) == "open"
        assert yours.breaker.reason == "unreachable"
        assert yours.breaker.opens_again_at() == pytest.approx(
            mine.breaker.opens_again_at(), abs=0.1
        )
        yours.breaker.succeeded(yours.breaker.generation)
        await your_keeper.step()
        await my_keeper.step()
        assert mine.breaker.state(clock.now()) == "closed"


async def test_what_one_has_found_out_itself_is_not_adopted_again(boards: Boards) -> None:
    clock = SystemClock()
    async with process(boards(), clock) as (endpoint, keeper):
        fail(endpoint, clock.now())
        generation = endpoint.breaker.generation
        await keeper.step()
        await keeper.step()
        assert endpoint.breaker.generation == generation


async def test_a_call_that_begins_finds_a_breaker_open(boards: Boards) -> None:
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
