"""`llm-router chat` in a terminal: tmux shows what a person would see."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from llm_router.clock import SystemClock
from llm_router.testing.server import FaultyServer
from tests.contracts import processes
from tests.contracts.cli_process import ran
from tests.contracts.databases import Files
from tests.contracts.threads import api_on_a_socket

HELLO = "how can I help you?"


class Tmux:
    """A window of tmux, 80 by 24, with a server of its own."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def __call__(self, *words: str, stdin: bytes | None = None) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            "tmux", "-L", self._name, "-f", "/dev/null", *words,
            stdin=asyncio.subprocess.PIPE if stdin else None,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        output, _ = await process.communicate(stdin)
        return process.returncode, output.decode()

    async def until(self, text: str) -> str:
        """Waits until the window shows a text; returns all that it shows."""
        while text not in (shown := (await self("capture-pane", "-p"))[1]):
            await SystemClock().sleep(0.1)
        return shown

    async def gone(self) -> None:
        while (await self("has-session"))[0] == 0:
            await SystemClock().sleep(0.1)


@asynccontextmanager
async def window(folder: Path, variables: Mapping[str, str]) -> AsyncIterator[Tmux]:
    assert shutil.which("tmux"), "tmux is missing; it is a package of its name"
    tmux = Tmux(f"patchbay-{os.getpid()}")
    given = [f"{name}={value}" for name, value in variables.items()]
    command = ("env", "-C", str(folder), *given, sys.executable, "-m", "llm_router.cli", "chat")
    await tmux("new-session", "-d", "-x", "80", "-y", "24", *command)
    try:
        yield tmux
    finally:
        await tmux("kill-server")


@pytest.mark.thorough
@pytest.mark.timeout(300)
async def test_a_person_chats_reads_the_board_and_quits(files: Files, tmp_path: Path) -> None:
    async with api_on_a_socket(await files.new()) as api, FaultyServer() as server:
        await api.gateway.connection("admin", base_url=server.base_url, visibility="everyone")
        key = {"PATCHBAY_API_URL": api.url, "PATCHBAY_API_KEY": api.keys["admin"]}
        variables = processes.environ(tmp_path, COLORTERM="truecolor", **key)
        async with window(tmp_path, variables) as tmux:
            await tmux.until("Enter sends")
            await tmux("send-keys", "Good morning", "Enter")
            assert HELLO in await tmux.until("desk · first word")  # drawn at the reply's end
            await tmux("send-keys", "F5")
            assert "desk" in await tmux.until("no call")
            await tmux("send-keys", "F5")
            await tmux.until(HELLO)
            await tmux("load-buffer", "-", stdin=b"x" * 120_000)
            await tmux("paste-buffer", "-p")
            await tmux.until("120,000 characters")
            await tmux("send-keys", "C-l")
            await tmux.until("new chat")
            await tmux("send-keys", "C-q")
            await tmux.gone()
        assert len(server.requests) == 1


async def test_without_a_terminal_the_command_says_what_to_use(tmp_path: Path) -> None:
    code, out, err = await ran(tmp_path, "chat")
    assert (code, out) == (2, "")
    assert "chat needs a terminal; for a script, `llm-router batch`" in err


async def test_help_names_the_keys(tmp_path: Path) -> None:
    code, out, _ = await ran(tmp_path, "chat", "--help")
    assert code == 0
    text = " ".join(out.split())
    assert "Ctrl+L begins a new chat" in text
    assert "color_theme" in text
