"""Both scoreboards keep the same promises; the file's own are at the end, with real processes."""

import asyncio
import logging
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.breaker import BreakerRecord
from llm_router.clock import SystemClock
from llm_router.connections import Connection
from llm_router.endpoint import Endpoint
from llm_router.failures import Failure, FailureClass
from llm_router.latency import HALF_LIFE, WEIGHTS, Latency
from llm_router.scoreboard.base import (
    Entry,
    News,
    Note,
    Scoreboard,
    ScoreboardError,
    key_of,
    merge,
)
from llm_router.scoreboard.keeper import Keeper
from llm_router.scoreboard.memory import InMemoryScoreboard
from llm_router.scoreboard.sqlite import SqliteScoreboard
from llm_router.testing import ManualClock, ScriptedProvider

NOW = 1_700_000_000.0
OPEN = BreakerRecord(True, NOW + 5.0, 1, "silent")
A = Connection(name="a", base_url="http://127.0.0.1:1/v1", model_name="m", api_key="sk-secret")
REFUSED = Failure(FailureClass.UNREACHABLE, "refused")
Boards = Callable[[], Scoreboard]
"""Opens the one board once more, as another process would."""


def note(
    key: str = "a",
    at: float = NOW,
    weights: dict[int, float] | None = None,
    breaker: BreakerRecord | None = None,
) -> Note:
    return Note(key=key, name=key, at=at, weights=weights or {}, breaker=breaker)


@pytest.fixture(params=["memory", "sqlite"])
async def boards(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Boards]:
    shared = InMemoryScoreboard()
    async with AsyncExitStack() as stack:

        def another() -> Scoreboard:
            if request.param == "memory":
                return shared
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
    assert (await board.news(0)).breakers == {}


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
    news = await board.news(0)
    assert news.breakers == {"a": OPEN}
    assert (await board.news(news.version)).breakers == {}
    await boards().write([note("b", breaker=OPEN)])
    assert set((await board.news(news.version)).breakers) == {"b"}


async def test_times_alone_are_no_news(boards: Boards) -> None:
    board = boards()
    await board.write([note(weights={1: 1.0})])
    assert (await board.news(0)).breakers == {}


async def test_of_two_openings_the_longer_holds_and_a_closing_ends_it(boards: Boards) -> None:
    board = boards()
    longer = BreakerRecord(True, NOW + 60.0, 3, "overloaded")
    await board.write([note(breaker=longer)])
    await board.write([note(breaker=OPEN)])
    assert (await board.news(0)).breakers == {"a": longer}
    await board.write([note(breaker=BreakerRecord())])
    assert (await board.news(0)).breakers == {"a": BreakerRecord()}


# ── The keeper, over both ────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def process(
    board: Scoreboard, clock: ManualClock | SystemClock, connection: Connection = A
) -> AsyncIterator[tuple[Endpoint, Keeper]]:
    """What a call's process has: an endpoint of its own, kept in step."""
    endpoint = Endpoint(connection, ScriptedProvider([]))
    keeper = Keeper(board, lambda: [endpoint], clock)
    await keeper.start()
    try:
        yield endpoint, keeper
    finally:
        await keeper.aclose()


def fail(endpoint: Endpoint, now: float, failure: Failure = REFUSED) -> None:
    for _ in range(3):
        endpoint.breaker.failed(failure, now, endpoint.breaker.generation)


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
    [entry] = (await boards().read({key_of(A)})).values()
    assert sum(entry.weights.values()) == pytest.approx(4, rel=0.01)


async def test_a_start_weighs_no_more_than_a_call_can_outweigh(boards: Boards) -> None:
    clock = SystemClock()
    board = boards()
    await board.write([note(key_of(A), clock.wall(), {40: 10_000.0, 41: 30_000.0})])
    async with process(boards(), clock) as (endpoint, _):
        assert endpoint.latency.first_word(0).count(clock.now()) == pytest.approx(20, rel=0.01)


async def test_what_is_too_old_is_forgotten(boards: Boards) -> None:
    clock = SystemClock()
    await boards().write([note(key_of(A), clock.wall() - 10 * HALF_LIFE, {40: 100.0})])
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


# ── The keeper's rules, on a clock that jumps ────────────────────────────────────────────────────


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


# ── The file ─────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def opened(path: Path, patience: float = 1.0) -> AsyncIterator[SqliteScoreboard]:
    board = SqliteScoreboard(path, patience=patience)
    try:
        yield board
    finally:
        await board.aclose()


async def test_only_its_owner_can_read_the_file_and_no_secret_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "board.sqlite3"
    async with opened(path) as board:
        await board.write([note(key_of(A), weights={1: 1.0}, breaker=OPEN)])
        files = list(path.parent.iterdir())
        assert len(files) > 1  # the log beside the file counts too
        assert {file.stat().st_mode & 0o077 for file in files} == {0}
        assert not any(b"sk-secret" in file.read_bytes() for file in files)
    assert path.parent.stat().st_mode & 0o077 == 0


def spoil_with_garbage(path: Path) -> None:
    path.write_bytes(b"this is no database\n" * 200)


def spoil_with_a_folder(path: Path) -> None:
    path.mkdir()


def spoil_with_another_table(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE endpoints (key TEXT)")
    db.close()


@pytest.mark.parametrize(
    "spoil", [spoil_with_garbage, spoil_with_a_folder, spoil_with_another_table]
)
async def test_a_file_that_is_no_board_is_an_error_that_says_which_and_what_to_do(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    path = tmp_path / "board.sqlite3"
    spoil(path)
    async with opened(path) as board:
        for attempt in (board.read({"a"}), board.write([note()]), board.news(0)):
            with pytest.raises(ScoreboardError, match=r"board\.sqlite3: .*delete the file"):
                await attempt


@pytest.mark.parametrize("weights", ["[", "[1]", '{"x": 1}', '{"1": "x"}', '{"1": NaN}', "{}{}"])
async def test_weights_that_make_no_sense_are_an_error(tmp_path: Path, weights: str) -> None:
    path = tmp_path / "board.sqlite3"
    async with opened(path) as board:
        await board.write([note()])
        db = sqlite3.connect(path)
        db.execute("UPDATE endpoints SET weights = ?", (weights,))
        db.commit()
        db.close()
        with pytest.raises(ScoreboardError):
            await board.read({"a"})


async def test_a_weight_out_of_place_is_an_error(tmp_path: Path) -> None:
    async with opened(tmp_path / "board.sqlite3") as board:
        await board.write([note(weights={WEIGHTS: 1.0})])
        with pytest.raises(ScoreboardError, match="make no sense"):
            await board.read({"a"})


async def test_a_locked_file_is_an_error_and_then_works_again(tmp_path: Path) -> None:
    path = tmp_path / "board.sqlite3"
    async with opened(path, patience=0.05) as board:
        await board.write([note(weights={1: 1.0})])
        lock = sqlite3.connect(path, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        with pytest.raises(ScoreboardError, match="locked"):
            await board.write([note(weights={1: 1.0})])
        assert (await board.read({"a"}))["a"].weights == {1: 1.0}
        lock.execute("ROLLBACK")
        lock.close()
        await board.write([note(weights={1: 1.0})])
        assert (await board.read({"a"}))["a"].weights == {1: 2.0}


def delete(path: Path, with_suffixes: Sequence[str]) -> None:
    for suffix in ("", *with_suffixes):
        Path(f"{path}{suffix}").unlink()


@pytest.mark.parametrize("rest", [(), ("-wal", "-shm")], ids=["alone", "with its log"])
async def test_a_file_deleted_in_between_is_begun_again_by_all(
    tmp_path: Path, rest: tuple[str, ...]
) -> None:
    path = tmp_path / "board.sqlite3"
    async with opened(path) as mine, opened(path) as yours:
        await mine.write([note(breaker=OPEN)])
        known = await yours.news(0)
        delete(path, rest)
        async with opened(path) as fresh:
            await fresh.write([note("b", at=NOW + 1.0, breaker=OPEN)])
            assert set((await yours.news(known.version)).breakers) == {"b"}
            await mine.write([note("c", weights={1: 1.0})])
            assert set(await fresh.read({"a", "b", "c"})) == {"b", "c"}


async def test_connections_nobody_uses_any_more_are_forgotten(tmp_path: Path) -> None:
    async with opened(tmp_path / "board.sqlite3") as board:
        await board.write([note("old", at=NOW - 31 * 86_400.0)])
        await board.write([note("new")])
        assert set(await board.read({"old", "new"})) == {"new"}


# ── Real processes ───────────────────────────────────────────────────────────────────────────────

PROCESS = """
import asyncio, sys
from pathlib import Path
from llm_router.breaker import BreakerRecord
from llm_router.clock import SystemClock
from llm_router.connections import Connection
from llm_router.endpoint import Endpoint
from llm_router.failures import Failure, FailureClass
from llm_router.scoreboard.base import Note
from llm_router.scoreboard.keeper import Keeper
from llm_router.scoreboard.sqlite import SqliteScoreboard
from llm_router.testing import ScriptedProvider

A = Connection(name="a", base_url="http://127.0.0.1:1/v1", model_name="m", api_key="sk-secret")

async def fail(board):
    clock, endpoint = SystemClock(), Endpoint(A, ScriptedProvider([]))
    keeper = Keeper(board, lambda: [endpoint], clock)
    await keeper.start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for _ in range(3):
        endpoint.breaker.failed(Failure(FailureClass.UNREACHABLE, "refused"), clock.now(), 0)
    await asyncio.to_thread(sys.stdin.readline)
    await keeper.aclose()

async def write(board, times=200):
    for number in range(times):
        await board.write([Note(key="a", name="a", at=1.7e9, weights={1: 1.0})])
        if number == 0:
            print("ready", flush=True)

async def write_on(board):
    await write(board, 10**9)

async def main():
    board = SqliteScoreboard(Path(sys.argv[2]), patience=10.0)
    await globals()[sys.argv[1]](board)
    await board.aclose()

asyncio.run(main())
"""


async def start(what: str, path: Path) -> asyncio.subprocess.Process:
    """A process that has got as far as its first word to the board."""
    root = str(Path(__file__).parents[2])
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROCESS, what, str(path)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert started.stdout is not None
    assert await started.stdout.readline() == b"ready\n"
    return started


async def test_a_breaker_opened_in_one_process_is_open_in_another(tmp_path: Path) -> None:
    path, clock = tmp_path / "board.sqlite3", SystemClock()
    async with opened(path) as board, process(board, clock) as (endpoint, _):
        other = await start("fail", path)
        assert other.stdin is not None
        other.stdin.write(b"fail\n")
        asked = clock.now()
        async with asyncio.timeout(20):
            while endpoint.breaker.state(clock.now()) == "closed":
                await clock.sleep(0.01)
        print(f"known in another process after {clock.now() - asked:.2f} s")
        assert endpoint.breaker.reason == "unreachable"
        other.stdin.write(b"end\n")
        other.stdin.close()
        assert await other.wait() == 0


async def test_four_processes_write_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "board.sqlite3"
    writers = await asyncio.gather(*(start("write", path) for _ in range(4)))
    assert await asyncio.gather(*(writer.wait() for writer in writers)) == [0] * 4
    async with opened(path) as board:
        assert (await board.read({"a"}))["a"].weights[1] == pytest.approx(800, rel=1e-4)


async def test_a_process_killed_while_it_writes_harms_nobody(tmp_path: Path) -> None:
    path = tmp_path / "board.sqlite3"
    async with opened(path) as board:
        for _ in range(3):
            writer = await start("write_on", path)
            before = (await board.read({"a"}))["a"].weights[1]
            while (await board.read({"a"}))["a"].weights[1] < before + 20:
                await board.news(0)
            writer.send_signal(signal.SIGKILL)
            assert await writer.wait() == -signal.SIGKILL
            await board.write([note(breaker=OPEN)])
            assert (await board.news(0)).breakers == {"a": OPEN}
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
