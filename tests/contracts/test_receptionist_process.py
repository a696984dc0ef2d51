"""Tests the receptionist's process: it ends with the worker, and is started again when it dies."""

import asyncio
import functools
import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from agent.receptionist.supervisor import receptionist
from llm_router.clock import SystemClock, checkpoint


def well(folder: Path, ends: Connection) -> None:
    """Works until the worker ends."""
    (folder / "up").write_text("up")
    try:
        ends.recv()
    except EOFError:
        (folder / "ended").touch()


def failing(folder: Path, _: Connection) -> None:
    """Ends at once."""
    (folder / "up").write_text("up")
    sys.exit(3)


class Impatient(SystemClock):
    """A clock on which no pause lasts."""

    async def sleep(self, seconds: float) -> None:
        await checkpoint()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a pipe to which a process writes once it has started."""
    os.mkfifo(tmp_path / "up")
    return tmp_path


async def is_up(folder: Path) -> bool:
    """Waits until a process has started."""
    return await asyncio.to_thread((folder / "up").read_text) == "up"


async def test_it_ends_with_the_worker(folder: Path) -> None:
    async with receptionist(functools.partial(well, folder), SystemClock()):
        assert await is_up(folder)
    assert (folder / "ended").exists()


async def test_it_is_started_again_when_it_dies(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with receptionist(functools.partial(failing, folder), Impatient()):
        for _ in range(2):
            assert await is_up(folder)
    assert "the receptionist is away" in caplog.text
    assert "it ended with status 3" in caplog.text
