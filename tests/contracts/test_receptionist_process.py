"""Tests the receptionist's process: it ends with the worker, and is started again when it dies."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from agent.receptionist.supervisor import receptionist
from llm_router.clock import SystemClock, checkpoint

WELL = "import sys; open(sys.argv[1], 'w').write('up'); sys.stdin.read(); open(sys.argv[2], 'w')"
DEAD = "import sys; open(sys.argv[1], 'w').write('up'); sys.exit(3)"


class Impatient(SystemClock):
    """A clock on which no pause lasts."""

    async def sleep(self, seconds: float) -> None:
        await checkpoint()


def command(program: str, folder: Path) -> tuple[str, ...]:
    os.mkfifo(folder / "up")
    return (sys.executable, "-c", program, str(folder / "up"), str(folder / "ended"))


async def is_up(folder: Path) -> bool:
    """Waits until a process has started."""
    return await asyncio.to_thread((folder / "up").read_text) == "up"


async def test_it_ends_with_the_worker(tmp_path: Path) -> None:
    async with receptionist(SystemClock(), command(WELL, tmp_path)):
        assert await is_up(tmp_path)
    assert (tmp_path / "ended").exists()


async def test_it_is_started_again_when_it_dies(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with receptionist(Impatient(), command(DEAD, tmp_path)):
        for _ in range(2):
            assert await is_up(tmp_path)
    assert "the receptionist is away" in caplog.text
    assert "it ended with status 3" in caplog.text
