"""Runs npm for tests, with the Node that set-up provides."""

import asyncio
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

from deploy import page, toolchain


async def npm(folder: Path, *arguments: str) -> str:
    """Returns what it printed; fails with that unless it ends well."""
    command = toolchain.npm()
    process = await asyncio.create_subprocess_exec(
        *command, *arguments, cwd=folder, env=page.npm_environ(command), stdout=PIPE, stderr=STDOUT
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    return printed.decode()
