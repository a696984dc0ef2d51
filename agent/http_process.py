"""Prepares what the HTTP process and the gateway share: services, listener, log and exit code."""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from opentelemetry.trace import Tracer

from agent.listening import Process, refusal
from agent.log_format import log_to_stderr
from agent.log_lines import RepeatFilter, hide_callers
from config.settings import Settings, load_settings
from llm_router.errors import ConfigurationError, StoreError
from llm_router.gateway.buckets import TokenBuckets
from llm_router.gateway.completions.response import REPLY_HEADERS
from llm_router.gateway.deps import Services, reply_observers
from llm_router.gateway.hosts import is_loopback
from llm_router.gateway.rates import Counters, RateLimit, open_counters
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
from llm_router.telemetry.opentelemetry import get_tracer
from llm_router.telemetry.prometheus import process_registry
from llm_router.voice.assistant_file import read_file

log = logging.getLogger("agent.api")

_PATIENCE = 1.0
"""Seconds that each write of a request waits for a locked SQLite file: a person waits as well."""


def make_services(
    settings: Settings,
    store: SqlConnectionStore,
    counters: Counters | None = None,
    readiness_checks: Sequence[Callable[[], Awaitable[object]]] = (),
    tracer: Tracer | None = None,
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
        assistants_in_file=partial(read_file, settings.assistants_file, environment()),
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
            observers=reply_observers(registry, tracer),
        ),
        readiness_checks=readiness_checks,
        tracer=tracer,
    )


def _keys(settings: Settings, database: Database) -> ApiKeys:
    if fixed := settings.proxy_api_key:
        return KeysWithFixed(database, fixed.get_secret_value(), "PROXY_API_KEY")
    return ApiKeys(database)


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


@asynccontextmanager
async def opened_tracer(settings: Settings, service: str) -> AsyncIterator[Tracer | None]:
    """Yields what makes the spans of this process, and sends the last of them at its end.

    None where the settings name no collector; nothing of OpenTelemetry's SDK is loaded then.
    """
    endpoint = settings.otel_exporter_otlp_endpoint
    if endpoint is None:
        yield None
        return
    from agent.traces import open_traces  # noqa: PLC0415  takes 0.2 s

    provider = open_traces(endpoint, service)
    try:
        yield get_tracer(provider)
    finally:
        await asyncio.to_thread(provider.shutdown)


def shared_counters(settings: Settings) -> Counters:
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    return open_counters(redis_url)


def note_address(listener: socket.socket, log: logging.Logger) -> None:
    """Logs where the process serves, by which those who started it know that it does."""
    host, port = listener.getsockname()[:2]
    log.info("serving http://%s:%d", f"[{host}]" if ":" in host else host, port)


def cors_options(settings: Settings) -> dict[str, Any]:
    """Returns the options of CORS: pages of the sites that the settings name may ask, and read
    what the answers say.
    """
    return {
        "allow_origins": [*settings.allowed_origins, *settings.cors_origins],
        "allow_methods": ["GET", "POST", "PUT", "PATCH", "DELETE"],
        "allow_headers": ["*"],  # clients have fields of their own; cookies never come along
        "expose_headers": ["Retry-After", "x-should-retry", "request-id", *REPLY_HEADERS],
    }


def answered_hosts(settings: Settings) -> Sequence[str] | None:
    """Returns the names to answer to, besides those of this machine; None for all."""
    if settings.public_hosts or (settings.demo and is_loopback(settings.http_host)):
        return settings.public_hosts
    return None


def listen(host: str, port: int, process: Process = "HTTP") -> socket.socket:
    """Opens a listening socket. Raises SettingsError, naming the variable to change."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise SettingsError(refusal(error, host, port, process)) from error


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
    log_to_stderr(settings.log_level, settings.log_format)
    for handler in logging.getLogger().handlers:
        handler.addFilter(RepeatFilter())
    if settings.log_level != "DEBUG":
        hide_callers()
    # Their log lines repeat whole addresses, servers' answers and rows: keys, or callers' words.
    for library in ("httpx2", "httpcore2", "mcp", "aiosqlite"):
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it logs every check for migrations
