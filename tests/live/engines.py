"""Runs real model servers for as long as a test needs them."""

import asyncio
import math
import os
import re
import secrets
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy import console, engines, paths, probes
from deploy.supervisor import Service, Supervisor
from llm_router.clock import Clock, SystemClock
from llm_router.connections.record import Connection
from llm_router.providers.base import PROVIDERS, Provider
from tests.live.kinds import Kind, Start
from tests.live.receptionist import FOLDER, MODEL
from tests.live.slowed import slow_folder, slow_gguf

_LOGS = paths.ROOT / "test-artifacts" / "live" / os.environ.get("PYTEST_XDIST_WORKER", "")
_POLL_INTERVAL = 0.02
"""Seconds between two readings of a server's metrics or log."""


class Engine:
    """One server of a kind, which serves the tiny receptionist; `slow` adds idle layers to it."""

    def __init__(self, kind: Kind, program: Path, folder: Path, *, slow: bool = False) -> None:
        self.kind = kind
        self.slow = slow
        self.key = secrets.token_hex(16)
        self._program = program
        self._folder = folder
        self._model = folder / Path(kind.model).name
        self._port = _free_port()
        self._processes: Supervisor | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def connection(self, **fields: Any) -> Connection:
        given: dict[str, Any] = {
            "name": self.kind.name,
            "provider": self.kind.provider,
            "server": self.kind.server,
            "base_url": self.base_url,
            "model_name": MODEL,
            "api_key": self.key,
        }
        if not self.kind.command:
            given |= {"base_url": "", "model_name": str(self._model), "api_key": None}
        return Connection(**{**given, **fields})

    @asynccontextmanager
    async def provider(self, clock: Clock | None = None, **fields: Any) -> AsyncIterator[Provider]:
        """Opens the provider for the connection to this server, with `fields` changed in it."""
        connection = self.connection(**fields)
        made = PROVIDERS.load(connection.provider)(connection, clock or SystemClock())
        try:
            yield made
        finally:
            await made.aclose()

    # ── Process ──────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Starts the server unless it runs; after a kill, at the same address again."""
        if self._processes:
            return
        if not self._model.exists():
            await asyncio.to_thread(self._make_model)
        if not self.kind.command:
            if str(self._program) not in sys.path:
                sys.path.append(str(self._program))
            return
        _LOGS.mkdir(parents=True, exist_ok=True)
        self._processes = Supervisor(_LOGS)
        start = Start(self._program, self._model, self._port, self.key)
        settings = [f"{name}={value}" for name, value in self.kind.environ.items()]
        await self._processes.start(
            Service(
                name=f"{self.kind.name}{'-slow' if self.slow else ''}",
                command=("env", *settings, *self.kind.command(start)),
                ready=lambda _: probes.answers(self._route(self.kind.health)),
                ready_within=self.kind.ready_within,
            )
        )
        if self.kind.prepare:
            await asyncio.to_thread(self.kind.prepare, start)

    def kill(self) -> None:
        """Kills the server with SIGKILL."""
        assert self._processes
        self._processes.kill()

    async def stop(self) -> None:
        if self._processes:
            await self._processes.stop()
        self._processes = None

    async def restart(self) -> None:
        await self.stop()
        await self.run()

    # ── Metrics and log ──────────────────────────────────────────────────────────────────────────

    async def work(self, task: Awaitable[object], within: float = 20.0) -> float:
        """Awaits the task; returns how much work the server reports for it.

        That is a number of tokens, or of seconds for a server that counts no tokens. It is infinity
        if the server does not report the end of its work `within` that many seconds.
        """
        metrics = self.kind.metrics
        before = self._metric(metrics.generated) if metrics else float(len(self._read_log()))
        await task
        try:
            async with asyncio.timeout(within):
                # The server sends no notice: its metrics or log must be read again and again.
                while (done := await asyncio.to_thread(self._done_since, before)) is None:  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_INTERVAL)
        except TimeoutError:
            return math.inf
        return done

    def _done_since(self, before: float) -> float | None:
        if metrics := self.kind.metrics:
            busy = self._metric(metrics.running)
            return None if busy else self._metric(metrics.generated) - before
        ends = re.findall(self.kind.end_of_request, self._read_log()[int(before) :])
        return _seconds(ends[-1]) if ends else None

    def _metric(self, name: str) -> float:
        lines = self.get("/metrics").splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def _read_log(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def log(self) -> Path:
        return _LOGS / f"{self.kind.name}{'-slow' if self.slow else ''}.log"

    def get(self, route: str) -> str:
        request = urllib.request.Request(self._route(route))
        request.add_header("Authorization", f"Bearer {self.key}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())

    def _route(self, path: str) -> str:
        return f"http://127.0.0.1:{self._port}{path}"

    def _make_model(self) -> None:
        original = FOLDER / self.kind.model
        layers = self.kind.idle_layers if self.slow else 0
        write = slow_folder if original.is_dir() else slow_gguf
        write(original, self._model, layers)


@asynccontextmanager
async def running(kind: Kind, folder: Path, *, slow: bool = False) -> AsyncIterator[Engine]:
    """Runs a server of that kind until the end of the block; builds it first if necessary."""
    program = await asyncio.to_thread(_build, kind)
    engine = Engine(kind, program, folder, slow=slow)
    try:
        await engine.run()
        yield engine
    finally:
        await engine.stop()


class Engines:
    """Starts servers, by kind and speed, when they are first requested."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._started: dict[tuple[str, bool], Engine] = {}

    async def get(self, kind: Kind, *, slow: bool = False) -> Engine:
        """Returns a running server; starts it again if a test has killed it."""
        key = (kind.name, slow)
        if key not in self._started:
            folder = self._folder / f"{kind.name}-{slow}"
            folder.mkdir()
            started = await self._stack.enter_async_context(running(kind, folder, slow=slow))
            self._started[key] = started
        await self._started[key].run()
        return self._started[key]


def marks(*kinds: Kind) -> list[pytest.MarkDecorator]:
    """Returns the marks of a test with servers of these kinds: `live` unless all are light.

    llama.cpp is light, and Ollama where it is built already.
    """
    light = {"llama_cpp", *(["ollama"] if engines.is_ollama_built() else [])}
    return [] if {kind.engine for kind in kinds} <= light else [pytest.mark.live]


def _build(kind: Kind) -> Path:
    try:
        return engines.PROVIDE[kind.engine]()
    except console.ReportedError as failure:
        pytest.fail(failure.report(), pytrace=False)


def _seconds(duration: str) -> float:
    """Converts a duration as Go prints it (1m2.5s, 320ms, 12µs) to seconds; 0 for other text."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6}
    parts = re.findall(r"([\d.]+)(h|ms|m|µs|s)", duration)
    return sum(float(value) * units[unit] for value, unit in parts)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
