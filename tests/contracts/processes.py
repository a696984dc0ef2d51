"""Runs programs as child processes of a test."""

import asyncio
import os
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def environ(folder: Path, **variables: str) -> Mapping[str, str]:
    """Returns these environment variables, a PATH, and `folder` as HOME; no others."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        **variables,
    }


@asynccontextmanager
async def child(*command: str, **options: Any) -> AsyncIterator[Process]:
    """Starts a child process; kills it at the end of the block unless it has ended."""
    process = await asyncio.create_subprocess_exec(*command, **options)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
