"""Runs `llm-router` as a process of its own."""

import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.contracts import processes


def command(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "llm_router.cli", *arguments)


def environ(folder: Path, **variables: str) -> Mapping[str, str]:
    """Returns `processes.environ` for a wide terminal."""
    return processes.environ(folder, TERM="xterm", COLUMNS="200", **variables)


@asynccontextmanager
async def started(folder: Path, *arguments: str, **variables: str) -> AsyncIterator[Process]:
    env = environ(folder, **variables)
    options = {"cwd": folder, "env": env, "stdin": PIPE, "stdout": PIPE, "stderr": PIPE}
    async with processes.child(*command(*arguments), **options) as process:
        yield process


async def ran(
    folder: Path, *arguments: str, typed: str = "", **variables: str
) -> tuple[int | None, str, str]:
    """Runs a command; returns its exit code, standard output and standard error."""
    async with started(folder, *arguments, **variables) as process:
        out, err = await process.communicate(typed.encode())
    return process.returncode, out.decode(), err.decode()
