"""Runs the gateway as a process of its own, `python -m agent.gateway`: /v1 without pages.

It also serves /metrics and health checks. The HTTP process serves /v1, too. A process of its own
answers more streams on the same machine, because it runs on uvloop where that is installed, and
its work holds up no page and no call. `GATEWAY_PROCESSES` of them share one socket: the first
starts the others, replaces one that dies, and ends them with itself.
"""

import argparse
import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from agent.http_process import (
    answered_hosts,
    cors_options,
    listen,
    make_services,
    note_address,
    open_store,
    opened_tracer,
    run_program,
    shared_counters,
)
from agent.http_server import make_server
from config.settings import Settings
from llm_router.clock import Clock, SystemClock
from llm_router.gateway import app as gateway
from llm_router.gateway.deps import Services
from llm_router.gateway.hosts import HostCheck

log = logging.getLogger("agent.gateway")

_NEW_OBJECTS = 10_000
"""New objects after which garbage is searched for. Streams make many, next to none of which are
garbage that only a search finds: at Python's own 700 it takes about a twentieth of their work."""
_PAUSE = 1.0
"""Seconds after which a process that died is replaced."""
_STOPS_WITHIN = 8.0
"""Seconds that the others have to end; a reply in progress may take five of them."""
_MODULE = "agent.gateway"


async def serve(settings: Settings, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serves /v1 on `listener` until SIGINT or SIGTERM, or until `stop` is set.

    Raises ConfigurationError for settings that cannot work, and StoreError for a database that
    cannot be reached.
    """
    async with (
        opened_tracer(settings, "patchbay-gateway") as tracer,
        open_store(settings) as store,
    ):
        services = make_services(settings, store, shared_counters(settings), tracer=tracer)
        app = build_app(settings, services)
        note_address(listener, log)
        server = make_server(app, trusted_proxies=settings.trusted_proxies)
        stopping = asyncio.create_task(stop.wait(), name="stop of the gateway")
        stopping.add_done_callback(lambda _: server.handle_exit(signal.SIGTERM, None))
        try:
            await server.serve([listener])
        finally:
            stopping.cancel()
            await asyncio.wait({stopping})


def build_app(settings: Settings, services: Services) -> FastAPI:
    """Builds the application of one process; its lifespan closes `services`."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await services.chat_router.get()  # so that the first request does not wait for it
        # What lives until the end need not be searched for garbage again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])
        yield

    app = gateway.build_app(services, lifespan=lifespan, manages=False, has_mcp=False)
    app.add_middleware(CORSMiddleware, **cors_options(settings))
    app.add_middleware(HostCheck, names=answered_hosts(settings))
    return app


def run_on_fast_loop(main: Coroutine[Any, Any, None]) -> None:
    """Runs `main` on uvloop where it is installed, else on asyncio's own loop."""
    factory = None
    if find_spec("uvloop"):
        import uvloop  # noqa: PLC0415  is not there on Windows

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


async def share(listener: socket.socket, processes: int, clock: Clock) -> None:
    """Has so many processes serve `listener`, until SIGINT or SIGTERM; one that dies is replaced.

    Each of them ends with this one, whatever ends it: its standard input does.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    async with asyncio.TaskGroup() as group:
        running = [
            group.create_task(_replace(listener.fileno(), clock), name=f"gateway {n}")
            for n in range(processes)
        ]
        await ended.wait()
        for task in running:
            task.cancel()


async def _replace(listener: int, clock: Clock) -> None:
    """Runs one process, and another in its place whenever it ends."""
    while True:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", _MODULE, "--listener", str(listener)),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=[listener],
        )
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            await _end(process)
            raise
        log.error("a gateway process ended with %d; another takes its place", code)
        await clock.sleep(_PAUSE)


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOPS_WITHIN):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _prepare(settings: Settings) -> None:
    """Sets the database up, so that settings which cannot work fail here, and once."""
    async with open_store(settings):
        """Opened for that alone."""


async def _serve_shared(settings: Settings, listener: socket.socket) -> None:
    """Serves a listener that another process has opened, until that process ends."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(0, stop.set)  # nothing is ever written there: it is readable at its end
    try:
        await serve(settings, listener, stop)
    finally:
        loop.remove_reader(0)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog=f"python -m {_MODULE}",
        description="Serves /v1, /metrics, /healthz and /readyz, and nothing else.",
        epilog="Settings come from the environment and from .env; .env.example lists and explains"
        " them (GATEWAY_PORT, GATEWAY_PROCESSES, ...).",
    )
    parser.add_argument("--listener", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args(argv)

    def run(settings: Settings) -> None:
        if chosen.listener is not None:
            with socket.socket(fileno=chosen.listener) as listener:
                run_on_fast_loop(_serve_shared(settings, listener))
            return
        with listen(settings.http_host, settings.gateway_port, "GATEWAY") as listener:
            if settings.gateway_processes == 1:
                run_on_fast_loop(serve(settings, listener, asyncio.Event()))
                return
            asyncio.run(_prepare(settings))
            asyncio.run(share(listener, settings.gateway_processes, SystemClock()))

    return run_program(run)


if __name__ == "__main__":
    sys.exit(main())
