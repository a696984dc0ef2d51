"""Real model servers, started here for as long as a test needs them."""

import asyncio
import secrets
import socket
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy import console, engines, places, probes
from deploy.supervisor import Service, Supervisor
from llm_router.clock import Clock, SystemClock
from llm_router.connections import Connection
from llm_router.live import PROVIDERS
from llm_router.providers.base import Provider
from tests.live.kinds import Kind, Start
from tests.live.receptionist import FOLDER, MODEL
from tests.live.slowed import slow_folder, slow_gguf

_LOGS = places.ROOT / "test-artifacts" / "live"
_LOOK_EVERY = 0.02


class Engine:
    """One server of a kind, with the receptionist in it. `slow`: with idle layers."""

    def __init__(self, kind: Kind, program: Path, folder: Path, *, slow: bool = False) -> None:
        self.kind, self.slow = kind, slow
        self.key = secrets.token_hex(16)
        self._program, self._folder = program, folder
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
        return Connection(**{**given, **fields})

    @asynccontextmanager
    async def provider(self, clock: Clock | None = None, **fields: Any) -> AsyncIterator[Provider]:
        """How Patchbay asks it; with a changed connection where fields are given."""
        connection = self.connection(**fields)
        made = PROVIDERS.load(connection.provider).create(connection, clock or SystemClock())
        try:
            yield made
        finally:
            await made.aclose()

    # ── Its life ─────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Start it unless it runs; once more at the same address after it was killed."""
        if self._processes:
            return
        if not self._model.exists():
            await asyncio.to_thread(self._make_model)
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
        """SIGKILL, at once."""
        assert self._processes
        self._processes.kill()

    async def stop(self) -> None:
        if self._processes:
            await self._processes.stop()
        self._processes = None

    async def restart(self) -> None:
        await self.stop()
        await self.run()

    # ── What it says of itself ───────────────────────────────────────────────────────────────────

    async def is_idle(self, within: float = 10.0) -> bool:
        """Whether it comes to say, by its own metrics or log, that it works on nothing."""
        try:
            async with asyncio.timeout(within):
                # It has to be asked: it tells nobody by itself.
                while not await asyncio.to_thread(self._says_idle):  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_EVERY)
        except TimeoutError:
            return False
        return True

    def _says_idle(self) -> bool:
        if self.kind.busy is None:
            return self.kind.tells_the_end in self.log.read_text(errors="replace")
        route, metric = self.kind.busy
        lines = self.get(route).splitlines()
        values = [line.rsplit(" ", 1)[1] for line in lines if line.startswith(metric)]
        return bool(values) and not any(float(value) for value in values)

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
        original, layers = FOLDER / self.kind.model, self.kind.idle_layers if self.slow else 0
        write = slow_folder if original.is_dir() else slow_gguf
        write(original, self._model, layers)


@asynccontextmanager
async def running(kind: Kind, folder: Path, *, slow: bool = False) -> AsyncIterator[Engine]:
    """A server of that kind, built if it was not yet, until the end of the block."""
    program = await asyncio.to_thread(_provided, kind)
    engine = Engine(kind, program, folder, slow=slow)
    try:
        await engine.run()
        yield engine
    finally:
        await engine.stop()


def _provided(kind: Kind) -> Path:
    try:
        return engines.PROVIDE[kind.engine]()
    except console.Failure as failure:
        pytest.fail(failure.report(), pytrace=False)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
