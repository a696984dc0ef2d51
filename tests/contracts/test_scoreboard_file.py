"""The scoreboard in a file: damaged files, and processes that share one."""

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from llm_router.clock import SystemClock
from llm_router.errors import ScoreboardError
from llm_router.routing.latency import WEIGHTS
from llm_router.sync.scoreboard.base import fingerprint
from llm_router.sync.scoreboard.sqlite import SqliteScoreboard
from tests.contracts.boards import NOW, OPEN, A, process, report


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
        await board.write([report(fingerprint(A), weights={1: 1.0}, breaker=OPEN)])
        files = list(path.parent.iterdir())
        assert len(files) > 1  # the write-ahead log counts too
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
        for attempt in (board.read({"a"}), board.write([report()]), board.breaker_changes(0)):
            with pytest.raises(ScoreboardError, match=r"board\.sqlite3: .*delete the file"):
                await attempt


@pytest.mark.parametrize("weights", ["[", "[1]", '{"x": 1}', '{"1": "x"}', '{"1": NaN}', "{}{}"])
async def test_weights_that_make_no_sense_are_an_error(tmp_path: Path, weights: str) -> None:
    path = tmp_path / "board.sqlite3"
    async with opened(path) as board:
        await board.write([report()])
        db = sqlite3.connect(path)
        db.execute("UPDATE endpoints SET weights = ?", (weights,))
        db.commit()
        db.close()
        with pytest.raises(ScoreboardError):
            await board.read({"a"})


async def test_a_weight_out_of_place_is_an_error(tmp_path: Path) -> None:
    async with opened(tmp_path / "board.sqlite3") as board:
        await board.write([report(weights={WEIGHTS: 1.0})])
        with pytest.raises(ScoreboardError, match="make no sense"):
            await board.read({"a"})


async def test_a_locked_file_is_an_error_and_then_works_again(tmp_path: Path) -> None:
    path = tmp_path / "board.sqlite3"
    async with opened(path, patience=0.05) as board:
        await board.write([report(weights={1: 1.0})])
        lock = sqlite3.connect(path, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        with pytest.raises(ScoreboardError, match="locked"):
            await board.write([report(weights={1: 1.0})])
        assert (await board.read({"a"}))["a"].weights == {1: 1.0}
        lock.execute("ROLLBACK")
        lock.close()
        await board.write([report(weights={1: 1.0})])
        assert (await board.read({"a"}))["a"].weights == {1: 2.0}


def delete(path: Path, with_suffixes: Sequence[str]) -> None:
    for suffix in ("", *with_suffixes):
        Path(f"{path}{suffix}").unlink()


@pytest.mark.parametrize("rest", [(), ("-wal", "-shm")], ids=["alone", "with its log"])
async def test_a_deleted_file_is_made_again_by_every_process(
    tmp_path: Path, rest: tuple[str, ...]
) -> None:
    path = tmp_path / "board.sqlite3"
    async with opened(path) as mine, opened(path) as yours:
        await mine.write([report(breaker=OPEN)])
        known = await yours.breaker_changes(0)
        delete(path, rest)
        async with opened(path) as fresh:
            await fresh.write([report("b", at=NOW + 1.0, breaker=OPEN)])
            assert set((await yours.breaker_changes(known.version)).breakers) == {"b"}
            await mine.write([report("c", weights={1: 1.0})])
            assert set(await fresh.read({"a", "b", "c"})) == {"b", "c"}


async def test_connections_that_are_no_longer_used_are_dropped(tmp_path: Path) -> None:
    async with opened(tmp_path / "board.sqlite3") as board:
        await board.write([report("old", at=NOW - 31 * 86_400.0)])
        await board.write([report("new")])
        assert set(await board.read({"old", "new"})) == {"new"}


# ── Real processes ───────────────────────────────────────────────────────────────────────────────

PROCESS = """
import asyncio, sys
from pathlib import Path
from llm_router.routing.breaker import BreakerRecord
from llm_router.clock import SystemClock
from llm_router.connections.record import Connection
from llm_router.routing.endpoint import Endpoint
from llm_router.failures import Failure, FailureClass
from llm_router.sync.scoreboard.base import Report
from llm_router.sync.scoreboard.sync import ScoreboardSync
from llm_router.sync.scoreboard.sqlite import SqliteScoreboard
from llm_router.testing import ScriptedProvider

A = Connection(name="a", base_url="http://127.0.0.1:1/v1", model_name="m", api_key="sk-secret")

async def fail(board):
    clock, endpoint = SystemClock(), Endpoint(A, ScriptedProvider([]))
    sync = ScoreboardSync(board, lambda: [endpoint], clock)
    await sync.start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for _ in range(3):
        endpoint.breaker.failed(Failure(FailureClass.UNREACHABLE, "refused"), clock.now(), 0)
    await asyncio.to_thread(sys.stdin.readline)
    await sync.aclose()

async def write(board, times=200):
    for number in range(times):
        await board.write([Report(key="a", name="a", at=1.7e9, weights={1: 1.0})])
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


async def start(function: str, path: Path) -> asyncio.subprocess.Process:
    """Starts a process and waits until it has used the board."""
    root = str(Path(__file__).parents[2])
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROCESS, function, str(path)),
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


async def test_a_process_killed_while_it_writes_leaves_the_board_intact(tmp_path: Path) -> None:
    path = tmp_path / "board.sqlite3"
    async with opened(path) as board:
        for _ in range(3):
            writer = await start("write_on", path)
            before = (await board.read({"a"}))["a"].weights[1]
            while (await board.read({"a"}))["a"].weights[1] < before + 20:
                await board.breaker_changes(0)
            writer.send_signal(signal.SIGKILL)
            assert await writer.wait() == -signal.SIGKILL
            await board.write([report(breaker=OPEN)])
            assert (await board.breaker_changes(0)).breakers == {"a": OPEN}
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
