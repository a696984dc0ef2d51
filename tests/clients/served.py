"""Serves `python -m agent.api` to clients of others, with obedient models behind it."""

import asyncio
import os
import re
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.clients.obedient import ObedientServer
from tests.contracts.api_process import admin_key, isolated_environ, serving

_ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"```\w+\n(.*?)```", re.DOTALL)
MODEL = "gpt-5-mini"
"""The first model: a name that has suites try reasoning as well."""
OTHER = "qwen3"
"""A second model, behind a connection of its own."""


@dataclass
class Served:
    """The gateway as a client finds it: its address and a key."""

    url: str
    """The address of the HTTP process, without /v1."""
    key: str = field(repr=False)
    server: ObedientServer
    """The model server behind `MODEL`."""

    def example(self, word: str) -> str:
        """Returns the one example of docs/clients.md that holds the word, for this address."""
        page = (_ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
        found = _FENCE.findall(page.replace("http://127.0.0.1:8787", self.url))
        [example] = [text for text in found if word in text]
        return str(example)

    async def run(self, *command: str | Path, folder: Path | None = None, **variables: str) -> str:
        """Runs a client with `BASE_URL` and `KEY` in its environment; returns what it printed.

        Fails with its output unless it ends well.
        """
        passed = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environ = {**passed, "BASE_URL": f"{self.url}/v1", "KEY": self.key, **variables}
        running = await asyncio.create_subprocess_exec(
            *command, env=environ, cwd=folder, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
        )
        try:
            printed, _ = await running.communicate()
        finally:
            if running.returncode is None:
                running.kill()
                await running.wait()
        text = printed.decode()
        assert running.returncode == 0, text
        return text


@asynccontextmanager
async def gateway(
    folder: Path, *, calls: int = 1, connections: Sequence[Mapping[str, Any]] = ()
) -> AsyncIterator[Served]:
    """Starts the process with a connection to each model, `desk` and `other`, and `connections`."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ObedientServer(MODEL, calls=calls))
        other = await stack.enter_async_context(ObedientServer(OTHER, calls=calls))
        here = await stack.enter_async_context(serving(folder, **isolated_environ(folder)))
        key = admin_key(folder)
        client = httpx2.AsyncClient(base_url=here.url, headers={"x-api-key": key})
        async with client:
            rows: list[Mapping[str, Any]] = [
                {
                    "name": name,
                    "base_url": its.base_url,
                    "model_name": its.model,
                    "priority": priority,
                    "supports_images": True,
                }
                for name, its, priority in (("desk", server, 0), ("other", other, 1))
            ]
            for row in [*rows, *connections]:
                made = await client.post("/api/connections", json=row)
                assert made.status_code == 201, made.text
        yield Served(here.url, key, server)
