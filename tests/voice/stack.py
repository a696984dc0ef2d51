"""The whole path, started once for all tests here: a real LiveKit server, worker and HTTP process,
and two model servers that do as each test says.
"""

import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agent.livekit_server import LiveKitServer
from agent.phrase_file import load_phrases
from agent.tokens import mint_token
from deploy import console, media_server, page, paths
from deploy.demo import LiveKit, Ports, free_ports, livekit_service, patchbay_services
from deploy.supervisor import Service, Supervisor
from llm_router.testing.server import FaultyServer
from tests.voice.caller import Caller, call

GREETING = "Hello."
_PROMPTS = paths.ROOT / "config" / "prompts"
PHRASES = load_phrases(_PROMPTS / "phrases.toml")
_LOGS = paths.ROOT / "test-artifacts" / "voice"
_READY_WITHIN = 300.0
"""Seconds: the machine may be busy with anything."""


@dataclass(frozen=True)
class House:
    """All that runs. `first` is asked before `spare`."""

    livekit: LiveKit
    ports: Ports
    first: FaultyServer
    spare: FaultyServer
    settings: Mapping[str, str] = field(repr=False)

    async def manage(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the management API as its first admin; what it answers."""
        file = Path(self.settings["ADMIN_KEY_FILE"])
        key = (await asyncio.to_thread(file.read_text)).strip()
        address = f"http://127.0.0.1:{self.ports.http_port}/api{path}"
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx2.AsyncClient(headers=headers) as client:
            answer = await client.request(method, address, json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def behave(self, first: Any, spare: Any = None) -> None:
        """From the next request on; the spare does as the first unless told otherwise."""
        await self.first.behave(first)
        await self.spare.behave(first if spare is None else spare)

    @property
    def words_sent(self) -> int:
        return self.first.words_sent + self.spare.words_sent

    @asynccontextmanager
    async def call(self, *, microphone: bool = True, greeted: bool = True) -> AsyncIterator[Caller]:
        """A call in its own room: once the agent has greeted, or as soon as it is there."""
        token = mint_token(
            api_key=self.livekit.key,
            api_secret=self.livekit.secret,
            identity="caller",
            name="Caller",
            room=f"call-{secrets.token_hex(4)}",
            agent_name=self.settings["AGENT_NAME"],
            ttl=60,
            now=time.time(),
        )
        async with call(self.livekit.url, token, microphone=microphone) as caller:
            if greeted:
                await caller.until(lambda me: me.said(by_agent=True) == GREETING, 30)
                await caller.silence()
            yield caller


# ── Processes ────────────────────────────────────────────────────────────────────────────────────


def _provided() -> Path:
    """The LiveKit server's program, with the page built. Fails as set-up would, with its words."""
    try:
        page.build()
        return media_server.provide()
    except console.ReportedError as failure:
        pytest.fail(failure.report(), pytrace=False)


def _ours(service: Service, folder: Path, settings: Mapping[str, str]) -> Service:
    """The service on this interpreter, in a folder without a .env, with these settings only."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return replace(
        service,
        command=("env", "-C", str(folder), sys.executable, *service.command[1:]),
        environ={
            **kept,
            "PYTHONPATH": str(paths.ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            **settings,
        },
        ready_within=_READY_WITHIN,
    )


def _write_connections(folder: Path, first: FaultyServer, spare: FaultyServer) -> None:
    rows = [
        {
            "name": name,
            "base_url": server.base_url,
            "model_name": server.model,
            "priority": priority,
            "continuation": "flags",
        }
        for name, server, priority in (("first", first, 0), ("spare", spare, 10))
    ]
    (folder / "connections.json").write_text(json.dumps({"connections": rows}))


def _settings(livekit: LiveKit, ports: Ports, folder: Path) -> dict[str, str]:
    return {
        "LIVEKIT_URL": livekit.url,
        "LIVEKIT_API_KEY": livekit.key,
        "LIVEKIT_API_SECRET": livekit.secret,
        "AGENT_NAME": f"voice-tests-{ports.worker_port}",
        "AGENT_GREETING": GREETING,
        "CONNECTIONS_FILE": str(folder / "connections.json"),
        "DATABASE_URL": f"sqlite:///{folder}/patchbay.sqlite3",
        "ENCRYPTION_KEY_FILE": str(folder / "master.key"),
        "ADMIN_KEY_FILE": str(folder / "admin.key"),
        "ASSISTANT_PROMPT_FILE": str(_PROMPTS / "assistant.md"),
        "PHRASES_FILE": str(_PROMPTS / "phrases.toml"),
        "PAGE_DIR": str(page.SOURCE / "dist"),
        "HTTP_PORT": str(ports.http_port),
        "WORKER_PORT": str(ports.worker_port),
        # The machine may be busy with anything, and each test is a call.
        "WORKER_LOAD_LIMIT": "0",
        "WORKER_IDLE_PROCESSES": "2",
        "WORKER_DRAIN_TIMEOUT": "1",
        # Nothing that one test's servers did is held against the next one's.
        "SCOREBOARD_FILE": "off",
        "TOKEN_RATE_LIMIT": "1000/minute",
    }


@asynccontextmanager
async def running_house(folder: Path, **settings: str) -> AsyncIterator[House]:
    """All of it, stopped at the end, with these settings besides. What the processes log is kept in
    test-artifacts/voice.
    """
    program = await asyncio.to_thread(_provided)
    _LOGS.mkdir(parents=True, exist_ok=True)
    ports = free_ports()
    livekit = LiveKit(
        url=f"ws://127.0.0.1:{ports.livekit_port}",
        key=f"test-{secrets.token_hex(4)}",
        secret=secrets.token_urlsafe(32),
        ours=True,
    )
    async with AsyncExitStack() as stack:
        processes = Supervisor(_LOGS)
        stack.push_async_callback(processes.stop)
        await processes.start(livekit_service(program, livekit, ports))
        # Nobody but the server we started knows this secret: a stranger on the port is found out.
        async with LiveKitServer(livekit.url, livekit.key, livekit.secret) as server:
            await server.check()
        yield await stack.enter_async_context(
            _moved_in(livekit, ports, folder, processes, **settings)
        )


@asynccontextmanager
async def running_beside(house: House, folder: Path, **settings: str) -> AsyncIterator[House]:
    """Another worker and HTTP process at the same LiveKit server, with these settings besides."""
    logs = _LOGS / folder.name
    logs.mkdir(parents=True, exist_ok=True)
    processes = Supervisor(logs)
    try:
        async with _moved_in(house.livekit, free_ports(), folder, processes, **settings) as beside:
            yield beside
    finally:
        await processes.stop()


@asynccontextmanager
async def _moved_in(
    livekit: LiveKit, ports: Ports, folder: Path, processes: Supervisor, **settings: str
) -> AsyncIterator[House]:
    """The worker, the HTTP process and two model servers; `processes` stops the former."""
    async with FaultyServer() as first, FaultyServer() as spare:
        _write_connections(folder, first, spare)
        settings = {**_settings(livekit, ports, folder), **settings}
        services = patchbay_services(livekit, ports)
        await processes.start(*(_ours(service, folder, settings) for service in services))
        yield House(livekit, ports, first, spare, settings)
