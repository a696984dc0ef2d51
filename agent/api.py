"""Runs the HTTP process, `python -m agent.api`: the page, its tokens, and the management API."""

import argparse
import asyncio
import logging
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from agent.demo import demo_router, store_found
from agent.http_process import (
    add_cors,
    answered_hosts,
    listen,
    make_services,
    note_address,
    open_store,
    run_program,
    shared_counters,
)
from agent.http_server import make_server
from agent.livekit_server import LiveKitError, LiveKitServer
from agent.page_files import PageFiles
from agent.places import PlaceLimits
from agent.presence import are_workers_full, is_worker_present
from agent.reception import Reception, ReceptionOptions
from agent.rescues import livekit_server, make_rescuer
from agent.room_watch import Net, room_watch
from agent.survival.call_watch import call_watch
from agent.tokens import TokenOptions, problem_of, token_router
from config.settings import Settings
from llm_router.clock import SystemClock
from llm_router.discovery.discover import DiscoveryOptions, DiscoveryResult, find_connections
from llm_router.discovery.unused import find_unused
from llm_router.errors import StoreError
from llm_router.gateway import app as gateway
from llm_router.gateway.errors import Problem
from llm_router.gateway.hosts import HostCheck
from llm_router.gateway.rates import Counters, RateLimit
from llm_router.management.background import run_background
from llm_router.settings.loading import environment
from llm_router.store.calls import CallStore
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.database import Database
from llm_router.store.leases import Lease

log = logging.getLogger("agent.api")  # run as a program, its __name__ is __main__

_FULL_WITHIN = 0.5
"""Seconds that a visitor may wait for the database's word on whether workers have a place."""
_LEASE_LASTS = 20.0
"""Seconds after which another HTTP process watches LiveKit's rooms, if this one has died."""
_NO_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Patchbay</title>
<h1>The page is not built yet</h1>
<p>Run <code>make setup</code>, then start this process again. (The page is
read from the folder that the setting <code>PAGE_DIR</code> names.)</p></html>
"""


def build_app(
    settings: Settings,
    found: DiscoveryResult,
    store: SqlConnectionStore,
    counters: Counters | None = None,
    *,
    stored_now: int = 0,
) -> FastAPI:
    """Builds the app with its routes and its background work.

    Requests are counted in `counters`, or in this process if it is None. `stored_now` is the number
    of connections that the demo has stored at this start.
    """
    livekit = livekit_server(settings)
    checks = [
        lambda: _check_livekit(livekit),
        lambda: _check_worker(store.database, settings.agent_name),
    ]
    services = make_services(settings, store, counters, readiness_checks=checks)
    calls = CallStore(services.database)
    rescuer = make_rescuer(settings, livekit, calls)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        background = run_background(
            services.database,
            store,
            services.webhooks,
            addresses=services.addresses,
            health=services.health,
            clock=services.clock,
            keep_usage_for=timedelta(days=settings.usage_days),
            keep_chats_for=timedelta(days=settings.chat_days) if settings.chat_days else None,
            keep_calls_for=timedelta(days=settings.call_days) if settings.call_days else None,
            keep_messages_for=timedelta(days=settings.message_days) or None,
        )
        name, clock = settings.agent_name, services.clock
        watch = call_watch(calls, rescuer, name, clock)
        net = Net(livekit, calls, rescuer, name, clock)
        lease = Lease(services.database, f"rooms of {name}", clock, _LEASE_LASTS)
        rooms = room_watch(net, clock, lease)
        async with livekit, background, aclosing(rescuer), watch, rooms:
            yield

    headers = _security_headers(_public_livekit(settings), settings.allowed_origins)
    app = gateway.build_app(services, headers=headers, lifespan=lifespan)
    add_cors(app, settings)
    reception = Reception(
        livekit, _reception_options(settings, store.database, counters), rescuer=rescuer
    )
    app.include_router(token_router(_token_options(settings, counters), reception))
    demo = demo_router(
        store,
        found,
        agent_name=settings.agent_name,
        language=settings.agent_language,
        is_demo=settings.demo,
        names=settings.names_are_public,
        stored_now=stored_now,
    )
    app.include_router(demo)
    _add_page(app, settings)
    app.add_middleware(HostCheck, names=answered_hosts(settings))
    return app


def _public_livekit(settings: Settings) -> str:
    """Returns LiveKit's address as browsers reach it."""
    return settings.livekit_public_url or settings.livekit_url


def _token_options(settings: Settings, counters: Counters | None) -> TokenOptions:
    return TokenOptions(
        server_url=_public_livekit(settings),
        api_key=settings.livekit_api_key,
        api_secret=settings.livekit_api_secret.get_secret_value(),
        ttl=settings.token_ttl,
        rate_limit=RateLimit(settings.token_rate_limit, counters, name="tokens"),
        allowed_origins=settings.allowed_origins,
        assistants=settings.visitor_assistants,
    )


def _reception_options(
    settings: Settings, database: Database, counters: Counters | None
) -> ReceptionOptions:
    async def is_full() -> bool:
        try:
            async with asyncio.timeout(_FULL_WITHIN):
                return await are_workers_full(database, settings.agent_name, SystemClock())
        except (StoreError, TimeoutError):  # a call needs no database
            return False

    return ReceptionOptions(
        agent_name=settings.agent_name,
        secret=settings.livekit_api_secret.get_secret_value(),
        join_within=settings.token_ttl,
        places=PlaceLimits(
            total=settings.max_calls,
            per_address=settings.max_calls_per_address,
            queue=settings.queue_length,
        ),
        shared_rooms=frozenset(settings.shared_rooms),
        rate=RateLimit(settings.call_rate_limit, counters, name="calls"),
        is_full=is_full,
    )


async def _check_livekit(livekit: LiveKitServer) -> None:
    try:
        await livekit.check()
    except LiveKitError as error:
        raise problem_of(error) from None


async def _check_worker(database: Database, agent_name: str) -> None:
    if not await is_worker_present(database, agent_name, SystemClock()):
        raise Problem(
            503,
            "no-worker",
            "No worker can take a call: start `python -m agent.worker start` with this database;"
            " if one runs, its log says why its call processes do not come up.",
        )


def _add_page(app: FastAPI, settings: Settings) -> None:
    # Mounted last: it answers every path that no route has matched.
    if (settings.page_dir / "index.html").is_file():
        app.mount("/", PageFiles(directory=settings.page_dir, html=True))
        return

    @app.get("/", include_in_schema=False)
    async def no_page() -> HTMLResponse:
        return HTMLResponse(_NO_PAGE, 503)


def _security_headers(server_url: str, allowed_origins: Sequence[str]) -> Mapping[str, str]:
    policy = {
        "default-src": "'self'",
        "connect-src": " ".join(["'self'", *_livekit_sources(server_url)]),
        "media-src": "'self' blob:",
        "img-src": "'self' data:",
        "worker-src": "'self' blob:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": " ".join(["'self'", *allowed_origins]),
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    }


def _livekit_sources(server_url: str) -> Sequence[str]:
    """Lists the addresses to which the page may connect, for `connect-src`.

    These are LiveKit's WebSocket, and its HTTP, which explains why a WebSocket was refused. LiveKit
    Cloud redirects callers to the hosts of its regions.
    """
    parts = urlsplit(server_url)
    secure = "s" if parts.scheme in {"wss", "https"} else ""
    cloud = (parts.hostname or "").endswith(".livekit.cloud")
    hosts = [parts.netloc, "*.livekit.cloud"] if cloud else [parts.netloc]
    return [f"{scheme}{secure}://{host}" for host in hosts for scheme in ("ws", "http")]


async def serve(settings: Settings, listener: socket.socket) -> None:
    """Serves HTTP on `listener` until SIGINT or SIGTERM.

    Raises ConfigurationError for settings that cannot work, and StoreError for a database that
    cannot be reached.
    """
    search = DiscoveryOptions(responder=settings.offline_responder)
    found = await find_connections(settings.connections_file, environment(), search)
    for warning in found.warnings:
        log.warning(warning)
    async with open_store(settings) as store:
        stored_now = await store_found(store, found) if settings.demo else 0
        if stored_now:
            log.info("stored %s", ", ".join(c.name for c in found.configured))
        found = found.without_secrets()
        for unused in await find_unused(store, found):
            log.info("%s", unused)
        counters = shared_counters(settings)
        app = build_app(settings, found, store, counters, stored_now=stored_now)
        note_address(listener, log)
        await make_server(app, trusted_proxies=settings.trusted_proxies).serve([listener])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m agent.api",
        description="Serves the page to talk on, the tokens to join with, the management API"
        " (/api/openapi.json) and /healthz, /readyz.",
        epilog="It has no options: settings come from the environment and from .env;"
        " .env.example lists and explains them (HTTP_PORT, LIVEKIT_URL, ...).",
    )
    parser.parse_args(argv)

    def run(settings: Settings) -> None:
        with listen(settings.http_host, settings.http_port) as listener:
            asyncio.run(serve(settings, listener))

    return run_program(run)


if __name__ == "__main__":
    sys.exit(main())
