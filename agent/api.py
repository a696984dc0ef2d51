"""Runs the HTTP process, `python -m agent.api`: the page, its tokens, and the management API."""

import argparse
import asyncio
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse

from agent.demo import demo_router, store_found
from agent.http_server import make_server
from agent.listening import Process, refusal
from agent.livekit_server import LiveKitError, LiveKitServer
from agent.log_lines import RepeatFilter
from agent.page_files import PageFiles
from agent.places import PlaceLimits
from agent.presence import are_workers_full, is_worker_present
from agent.reception import Reception, ReceptionOptions
from agent.tokens import TokenOptions, problem_of, token_router
from config.settings import Settings, load_settings
from llm_router.clock import SystemClock
from llm_router.discovery.discover import DiscoveryOptions, DiscoveryResult, find_connections
from llm_router.discovery.unused import find_unused
from llm_router.errors import ConfigurationError, StoreError
from llm_router.gateway import app as gateway
from llm_router.gateway.buckets import TokenBuckets
from llm_router.gateway.completions.response import REPLY_HEADERS
from llm_router.gateway.deps import Services
from llm_router.gateway.errors import Problem
from llm_router.gateway.hosts import HostCheck, is_loopback
from llm_router.gateway.rates import Counters, RateLimit, open_counters
from llm_router.management.background import run_background
from llm_router.management.first_key import ensure_admin
from llm_router.options import HealthOptions, RouterOptions
from llm_router.settings.loading import SettingsError, environment, export_variables
from llm_router.settings.store import MAX_CHECKS
from llm_router.store.api_keys import ApiKeys
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.database import Database
from llm_router.store.fixed_key import KeysWithFixed
from llm_router.store.sealed_store import open_sealed_store
from llm_router.store.webhooks import Webhooks
from llm_router.stored_router import open_automation_router
from llm_router.telemetry.prometheus import PrometheusObserver, process_registry

log = logging.getLogger("agent.api")  # run as a program, its __name__ is __main__

_PATIENCE = 1.0
"""Seconds that each write of a request waits for a locked SQLite file: a person waits as well."""
_FULL_WITHIN = 0.5
"""Seconds that a visitor may wait for the database's word on whether workers have a place."""
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
    secret = settings.livekit_api_secret.get_secret_value()
    livekit = LiveKitServer(settings.livekit_url, settings.livekit_api_key, secret)
    checks = [
        lambda: _check_livekit(livekit),
        lambda: _check_worker(store.database, settings.agent_name),
    ]
    services = make_services(settings, store, counters, readiness_checks=checks)

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
        )
        async with livekit, background:
            yield

    headers = _security_headers(_public_livekit(settings), settings.allowed_origins)
    app = gateway.build_app(services, headers=headers, lifespan=lifespan)
    add_cors(app, settings)
    reception = _reception(settings, store.database, livekit, counters)
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


def add_cors(app: FastAPI, settings: Settings) -> None:
    """Lets pages of the sites that the settings name ask, and read what the answers say."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=[*settings.allowed_origins, *settings.cors_origins],
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["*"],  # clients have fields of their own; cookies never come along
        expose_headers=["Retry-After", *REPLY_HEADERS],
    )


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
    )


def answered_hosts(settings: Settings) -> Sequence[str] | None:
    """Returns the names to answer to, besides those of this machine; None for all."""
    if settings.public_hosts or (settings.demo and is_loopback(settings.http_host)):
        return settings.public_hosts
    return None


def make_services(
    settings: Settings,
    store: SqlConnectionStore,
    counters: Counters | None = None,
    readiness_checks: Sequence[Callable[[], Awaitable[object]]] = (),
) -> Services:
    """Makes what the routes of the API need."""
    registry = process_registry()
    return Services(
        database=store.database,
        store=store,
        keys=_keys(settings, store.database),
        webhooks=Webhooks(store.database, store.vault),
        vault=store.vault,
        health=_health(settings),
        counters=counters or Counters(),
        request_limit=RateLimit(settings.key_rate_limit, counters, name="requests"),
        unauthenticated_limit=RateLimit("60/minute", counters, name="unauthenticated"),
        sign_in_limit=RateLimit("20/minute", counters, name="sign-ins"),
        all_sign_ins_limit=RateLimit("600/minute", counters, name="all sign-ins"),
        allowed_addresses=settings.allowed_addresses,
        allowed_origins=(*settings.allowed_origins, *settings.cors_origins),
        environ=environment(),
        registry=registry,
        buckets=TokenBuckets(counters),
        local_llm_may_pull=settings.local_llm_enable_pull,
        open_chat_router=partial(
            open_automation_router,
            store,
            store.database,
            scoreboard=settings.scoreboard_file,
            allowed_addresses=settings.allowed_addresses,
            policy=settings.router_policy,
            options=RouterOptions(
                hedge_budget=settings.hedge_budget, queue_poll=settings.queue_poll
            ),
            observers=[PrometheusObserver(registry)],
        ),
        readiness_checks=readiness_checks,
    )


def _keys(settings: Settings, database: Database) -> ApiKeys:
    if fixed := settings.proxy_api_key:
        return KeysWithFixed(database, fixed.get_secret_value(), "PROXY_API_KEY")
    return ApiKeys(database)


def _reception(
    settings: Settings, database: Database, livekit: LiveKitServer, counters: Counters | None
) -> Reception:
    async def is_full() -> bool:
        try:
            async with asyncio.timeout(_FULL_WITHIN):
                return await are_workers_full(database, settings.agent_name, SystemClock())
        except (StoreError, TimeoutError):  # a call needs no database
            return False

    options = ReceptionOptions(
        agent_name=settings.agent_name,
        secret=settings.livekit_api_secret.get_secret_value(),
        join_within=settings.token_ttl,
        places=PlaceLimits(total=settings.max_calls, per_address=settings.max_calls_per_address),
        shared_rooms=frozenset(settings.shared_rooms),
        rate=RateLimit(settings.call_rate_limit, counters, name="calls"),
        is_full=is_full,
    )
    return Reception(livekit, options)


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


def _health(settings: Settings) -> HealthOptions:
    hours = timedelta(hours=settings.auto_deactivate_after)
    return HealthOptions(
        interval=settings.health_check_interval,
        fall=settings.health_failures,
        deactivate_after=hours if settings.auto_deactivate else None,
        generate_token=settings.health_check_with_a_word,
        retention=timedelta(days=settings.health_history_days),
        max_stored=MAX_CHECKS,
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


def listen(host: str, port: int, process: Process = "HTTP") -> socket.socket:
    """Opens a listening socket. Raises SettingsError, naming the variable to change."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise SettingsError(refusal(error, host, port, process)) from error


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
        note_address(listener)
        await make_server(app, trusted_proxies=settings.trusted_proxies).serve([listener])


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[SqlConnectionStore]:
    """Opens the database, set up and with an admin key.

    Raises ConfigurationError and StoreError.
    """
    async with open_sealed_store(
        settings.database_url.get_secret_value(),
        settings.master_keys,
        settings.encryption_key_file,
        patience=_PATIENCE,
        quota=settings.quota,
    ) as store:
        await ensure_admin(ApiKeys(store.database), settings.admin_key_file)
        yield store


def shared_counters(settings: Settings) -> Counters:
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    return open_counters(redis_url)


def note_address(listener: socket.socket) -> None:
    """Logs where the process serves, by which those who started it know that it does."""
    host, port = listener.getsockname()[:2]
    log.info("serving http://%s:%d", f"[{host}]" if ":" in host else host, port)


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


def run_program(run: Callable[[Settings], None]) -> int:
    """Runs a program with its settings and its log; returns the exit code."""
    # Until it serves; from then on the server handles the signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        note = export_variables()
        settings = load_settings()
        _prepare_log(settings)
        if note:
            log.info(note)
        run(settings)
    except (SettingsError, ConfigurationError, StoreError) as error:
        print(error, file=sys.stderr)  # noqa: T201  a command line reports its errors there
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


def _prepare_log(settings: Settings) -> None:
    logging.basicConfig(level=settings.log_level, format="%(levelname)s %(name)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(RepeatFilter())
    # Their log lines repeat whole addresses and servers' answers; either may hold a key.
    for library in ("httpx2", "httpcore2", "mcp"):
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it logs every check for migrations


if __name__ == "__main__":
    sys.exit(main())
