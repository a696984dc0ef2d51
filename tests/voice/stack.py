"""Runs the whole voice stack for tests: a real LiveKit server, a worker, an HTTP process and two
scripted model servers.
"""

import asyncio
import itertools
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agent.dispatch import Dispatch
from agent.livekit_server import LiveKitServer
from agent.phrase_file import load_phrases
from agent.tokens import mint_token
from deploy import console, media_server, page, paths
from deploy.ports import Ports, free_ports
from deploy.services import LiveKit, livekit_service, patchbay_services
from deploy.supervisor import Service, Supervisor
from llm_router.testing.server import FaultyServer
from tests.voice.caller import VOICES, Caller, call

GREETING = "Hello."
_PROMPTS = paths.ROOT / "config" / "prompts"
PHRASES = load_phrases(_PROMPTS / "phrases.toml")
LOGS = paths.ROOT / "test-artifacts" / "voice" / os.environ.get("PYTEST_XDIST_WORKER", "")
_READY_WITHIN = 300.0
"""Time limit (s); long, since the machine may be busy."""


@dataclass(frozen=True)
class VoiceStack:
    """The running stack. The router prefers the model server `first` to `spare`."""

    livekit: LiveKit
    ports: Ports
    first: FaultyServer
    spare: FaultyServer
    settings: Mapping[str, str] = field(repr=False)
    voices: Iterator[str] = field(default_factory=lambda: itertools.cycle(VOICES))
    """The voices of the next callers."""

    def server(self) -> LiveKitServer:
        """Returns LiveKit's server API, to enter."""
        return LiveKitServer(self.livekit.url, self.livekit.key, self.livekit.secret)

    async def manage(self, method: str, path: str, body: Any = None) -> Any:
        """Sends a request to the management API as its first admin; returns the answer's JSON."""
        file = Path(self.settings["ADMIN_KEY_FILE"])
        key = (await asyncio.to_thread(file.read_text)).strip()
        address = f"http://127.0.0.1:{self.ports.http_port}/api{path}"
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx2.AsyncClient(headers=headers) as client:
            answer = await client.request(method, address, json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def behave(self, first: Any, spare: Any = None) -> None:
        """Sets the servers' behaviour from the next request on; `spare` defaults to `first`."""
        await self.first.behave(first)
        await self.spare.behave(first if spare is None else spare)

    @property
    def words_sent(self) -> int:
        return self.first.words_sent + self.spare.words_sent

    @asynccontextmanager
    async def call(
        self,
        *,
        microphone: bool = True,
        greeted: bool = True,
        assistant: str = "",
        greeting: str = GREETING,
    ) -> AsyncIterator[Caller]:
        """Starts a call in a room of its own, and waits for the agent's greeting if `greeted`."""
        room = f"call-{secrets.token_hex(4)}"
        async with self.server() as livekit:
            await livekit.open_room(
                room,
                self.settings["AGENT_NAME"],
                join_within=60,
                dispatch=Dispatch(assistant=assistant),
            )
        async with self.join(room, microphone=microphone, waits_for_agent=True) as caller:
            if greeted:
                await caller.wait_until(lambda me: me.transcript(by_agent=True) == greeting, 30)
                await caller.wait_for_silence()
            yield caller

    @asynccontextmanager
    async def join(
        self, room: str, *, microphone: bool = False, waits_for_agent: bool = False
    ) -> AsyncIterator[Caller]:
        """Joins a room as its caller."""
        token = mint_token(
            api_key=self.livekit.key,
            api_secret=self.livekit.secret,
            identity="caller",
            name="Caller",
            room=room,
            ttl=60,
            now=time.time(),
        )
        async with call(
            self.livekit.url,
            token,
            microphone=microphone,
            voice=next(self.voices),
            waits_for_agent=waits_for_agent,
        ) as caller:
            yield caller


# ── Processes ────────────────────────────────────────────────────────────────────────────────────


def build_programs() -> Path:
    """Builds the page and the LiveKit server, and returns its program; fails with the report."""
    try:
        page.build()
        return media_server.LIVEKIT.provide()
    except console.ReportedError as failure:
        pytest.fail(failure.report(), pytrace=False)


def _isolated(service: Service, folder: Path, settings: Mapping[str, str]) -> Service:
    """Returns the service on this interpreter, in a folder without .env, with these settings."""
    inherited = {
        name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ
    }
    return replace(
        service,
        command=("env", "-C", str(folder), sys.executable, *service.command[1:]),
        environ={
            **inherited,
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
        "DOCUMENTS_FOLDER": str(paths.ROOT / "config" / "documents"),
        "PAGE_DIR": str(page.SOURCE / "dist"),
        "CONSOLE_DIR": str(page.CONSOLE / "dist"),
        "HTTP_PORT": str(ports.http_port),
        "WORKER_PORT": str(ports.worker_port),
        # The machine may be busy, and each test is a call.
        "WORKER_LOAD_LIMIT": "0",
        "WORKER_IDLE_PROCESSES": "2",
        "WORKER_DRAIN_TIMEOUT": "1",
        # Failures of one test's servers must not count against the next test's.
        "SCOREBOARD_FILE": "off",
        "TOKEN_RATE_LIMIT": "1000/minute",
        "KEY_RATE_LIMIT": "100000/minute",  # tests ask again and again until something has happened
        "SHOW_CONNECTIONS": "true",
        "CALL_RETENTION": "transcript",
        "MAX_CALLS_PER_ADDRESS": "0",
        # Servers of HTTP tools run in the tests.
        "ALLOWED_ADDRESSES": "localhost",
    }


@asynccontextmanager
async def running_stack(folder: Path, **settings: str) -> AsyncIterator[VoiceStack]:
    """Starts the stack, with `settings` in addition to the usual ones, and stops it at the end.

    With `WORKER=off` among them no worker runs: it takes no calls, and starts sooner.

    The processes write their logs to test-artifacts/voice.
    """
    program = await asyncio.to_thread(build_programs)
    LOGS.mkdir(parents=True, exist_ok=True)
    ports = free_ports()
    livekit = LiveKit(
        url=f"ws://127.0.0.1:{ports.livekit_port}",
        key=f"test-{secrets.token_hex(4)}",
        secret=secrets.token_urlsafe(32),
        ours=True,
    )
    async with AsyncExitStack() as stack:
        processes = Supervisor(LOGS)
        stack.push_async_callback(processes.stop)
        await processes.start(livekit_service(program, livekit, ports))
        # Only the server started here knows this secret, so another one on the port is detected.
        async with LiveKitServer(livekit.url, livekit.key, livekit.secret) as server:
            await server.check()
        yield await stack.enter_async_context(
            serving(livekit, ports, folder, processes, **settings)
        )


@asynccontextmanager
async def running_beside(
    stack: VoiceStack, folder: Path, **settings: str
) -> AsyncIterator[VoiceStack]:
    """Starts another worker and HTTP process at the same LiveKit server, with more `settings`."""
    logs = LOGS / folder.name
    logs.mkdir(parents=True, exist_ok=True)
    processes = Supervisor(logs)
    try:
        async with serving(stack.livekit, free_ports(), folder, processes, **settings) as beside:
            yield beside
    finally:
        await processes.stop()


@asynccontextmanager
async def more_workers(stack: VoiceStack, number: int) -> AsyncIterator[None]:
    """Starts more workers, which share the calls and the database of the stack's own."""
    folder = LOGS / "more_workers"
    folder.mkdir(parents=True, exist_ok=True)
    services = []
    for each in range(number):
        ports = replace(free_ports(), http_port=stack.ports.http_port)
        own = {
            "WORKER_PORT": str(ports.worker_port),
            "WORKER_DRAIN_TIMEOUT": "60",
            "WORKER_IDLE_PROCESSES": "1",
        }
        settings = {**stack.settings, **own}
        worker = replace(patchbay_services(stack.livekit, ports)[0], name=f"Worker {each}")
        services.append(_isolated(worker, folder, settings))
    processes = Supervisor(folder)
    try:
        await processes.start(*services)
        yield
    finally:
        await processes.stop()


@asynccontextmanager
async def serving(
    livekit: LiveKit,
    ports: Ports,
    folder: Path,
    processes: Supervisor,
    **settings: str,
) -> AsyncIterator[VoiceStack]:
    """Starts the worker, the HTTP process and two model servers.

    The caller stops `processes`, which runs the first two.
    """
    async with FaultyServer() as first, FaultyServer() as spare:
        _write_connections(folder, first, spare)
        settings = {**_settings(livekit, ports, folder), **settings}
        worker, page = patchbay_services(livekit, ports)
        services = [page] if settings.pop("WORKER", "") == "off" else [worker, page]
        await processes.start(*(_isolated(service, folder, settings) for service in services))
        yield VoiceStack(livekit, ports, first, spare, settings)
