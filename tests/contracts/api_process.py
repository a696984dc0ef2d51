"""Runs `python -m agent.api` as a process of its own, on a real socket."""

import asyncio
import json
import re
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.http_process import listen
from tests.contracts.processes import child, environ

SECRET = "a-secret-of-more-than-thirty-two-characters"
KEYS = {"LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": SECRET}
STATE = ".local/state/patchbay"


@asynccontextmanager
async def process(
    folder: Path, *arguments: str, module: str = "agent.api", **variables: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Starts the process in `folder` with these environment variables and no others."""
    env = environ(folder, **variables)
    options = {"cwd": folder, "env": env, "stdout": PIPE, "stderr": PIPE}
    async with child(sys.executable, "-m", module, *arguments, **options) as started:
        yield started


def isolated_environ(folder: Path, **fields: str) -> dict[str, str]:
    """Returns variables for a process with a free port, no LiveKit and one connection, `desk`."""
    desk = {"name": "desk", "provider": "offline", **fields}
    (folder / "mine.json").write_text(json.dumps([desk]))
    with listen("127.0.0.1", 0) as closed:
        livekit = f"ws://127.0.0.1:{closed.getsockname()[1]}"
    return {"HTTP_PORT": "0", "LIVEKIT_URL": livekit, "CONNECTIONS_FILE": "mine.json"}


def served_at(line: str) -> str:
    """Returns the URL in the line that says where the process serves."""
    found = re.search(r'serving (http://[^\s"]+)', line)
    assert found, line
    return found[1]


async def address(running: asyncio.subprocess.Process) -> str:
    """Waits for the log line that says where the process serves, and returns its URL."""
    assert running.stderr is not None
    while line := (await running.stderr.readline()).decode():
        if "serving http://" in line:
            return served_at(line)
    pytest.fail("it ended before it served")


@dataclass
class Serving:
    """A process that serves HTTP. `log` holds the lines that it has logged so far."""

    running: asyncio.subprocess.Process
    url: str = ""
    log: list[str] = field(default_factory=list)

    async def kill(self) -> None:
        self.running.send_signal(signal.SIGKILL)
        await self.running.wait()

    async def read_log(self, ready: asyncio.Event) -> None:
        assert self.running.stderr is not None
        async for line in self.running.stderr:
            self.log.append(line.decode())
            if "serving http://" in self.log[-1]:
                self.url = served_at(self.log[-1])
                ready.set()
        ready.set()


@asynccontextmanager
async def serving(
    folder: Path, *, module: str = "agent.api", **variables: str
) -> AsyncIterator[Serving]:
    """Starts the process and waits until it serves; reads all that it logs until the end."""
    async with process(folder, module=module, **KEYS, **variables) as running:
        here, ready = Serving(running), asyncio.Event()
        reading = asyncio.create_task(here.read_log(ready))
        try:
            await ready.wait()
            assert here.url, "".join(here.log)
            yield here
        finally:
            reading.cancel()
            await asyncio.wait([reading])


def admin_key(folder: Path) -> str:
    """Returns the admin key that the first start has made."""
    return (folder / STATE / "admin.key").read_text().strip()
