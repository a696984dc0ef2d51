"""Runs the HTTP process, `python -m agent.api`: the page, its tokens, and the management API."""

import argparse
import asyncio
import logging
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from fastapi import APIRouter, FastAPI
from opentelemetry.trace import Tracer

from agent.calls_out import make_schedule
from agent.demo import demo_router, store_found
from agent.handed_over import HandedOver
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
from agent.insights.routes import InsightOptions, insights_router
from agent.insights.sessions import Sessions
from agent.livekit_server import LiveKitError, LiveKitServer
from agent.pages import add_console, add_pages, content_policy
from agent.phone import schedule as planned_calls
from agent.phone.edit_routes import phone_edit_router
from agent.phone.routes import phone_router
from agent.phone.setup_file import PhoneFile
from agent.places import PlaceLimits
from agent.presence import are_workers_full, is_worker_present
from agent.ratings import ratings_router
from agent.reception import Reception, ReceptionOptions
from agent.rescues import livekit_server, make_rescuer
from agent.room_watch import LateListeners, Net, RoomReading, room_watch
from agent.supervision import LiveKitKeys, Supervision
from agent.survival.call_watch import call_watch
from agent.survival.rescuer import Rescuer
from agent.text.conversations import Conversations
from agent.text.moves import Moves
from agent.text.resume_token import ResumeTokens
from agent.text.routes import TextOptions, text_router
from agent.text.setup import TextSetup
from agent.text.trial import Trials
from agent.text.trial_routes import trial_router
from agent.tokens import TokenOptions, problem_of, token_router
from agent.trial_call_routes import TrialCalls, trial_call_router
from agent.visitor_gate import Gate
from agent.visitor_sites import SiteCors, VisitorSites
from agent.waits import waits_router
from agent.worker_folder import abandoned_boxes, black_box_of_any
from config.settings import Settings
from llm_router.clock import Clock, SystemClock
from llm_router.discovery.discover import DiscoveryOptions, DiscoveryResult, find_connections
from llm_router.discovery.unused import find_unused
from llm_router.errors import StoreError
from llm_router.gateway import app as gateway
from llm_router.gateway.deps import Services
from llm_router.gateway.errors import Problem
from llm_router.gateway.hosts import HostCheck
from llm_router.gateway.rates import Counters, RateLimit
from llm_router.management.background import run_background
from llm_router.periodic import side_by_side
from llm_router.settings.loading import environment
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.database import Database
from llm_router.store.leases import Lease
from llm_router.store.ratings import Ratings
from llm_router.telemetry.opentelemetry import OpenTelemetryObserver
from llm_router.voice.page_context import SiteSecrets

log = logging.getLogger("agent.api")  # run as a program, its __name__ is __main__

_FULL_WITHIN = 0.5
"""Seconds that a visitor may wait for the database's word on whether workers have a place."""
_LEASE_LASTS = 20.0
"""Seconds after which another HTTP process watches LiveKit's rooms, if this one has died."""


def build_app(
    settings: Settings,
    found: DiscoveryResult,
    store: SqlConnectionStore,
    counters: Counters | None = None,
    *,
    stored_now: int = 0,
    tracer: Tracer | None = None,
) -> FastAPI:
    """Builds the app with its routes and its background work.

    Requests are counted in `counters`, or in this process if it is None. `stored_now` is the number
    of connections that the demo has stored at this start; `tracer` makes the spans of requests.
    """
    livekit = livekit_server(settings)
    checks = [
        lambda: _check_livekit(livekit),
        lambda: _check_worker(store.database, settings.agent_name),
    ]
    services = make_services(settings, store, counters, readiness_checks=checks, tracer=tracer)
    rescuer = make_rescuer(settings, livekit, services.calls)
    supervision = _supervision(settings, services, livekit, rescuer)
    services = replace(services, supervisor=supervision)

    sites = VisitorSites(services.sites.all, counters)
    observers = [OpenTelemetryObserver(tracer)] if tracer else []
    setup = TextSetup(settings, store.database, services.clock, environment(), observers=observers)
    options = _reception_options(settings, store.database, counters)
    reception = Reception(livekit, options, rescuer=rescuer, sites=sites)
    conversations = Conversations(
        setup, store.database, sites, services.clock, reception.is_waiting
    )
    moves = Moves(conversations, _livekit_secret(settings), services.clock)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = _running(settings, services, livekit, rescuer, supervision)
        async with running, aclosing(conversations):
            yield

    headers = _security_headers(_public_livekit(settings), settings.allowed_origins)
    app = gateway.build_app(services, headers=headers, lifespan=lifespan)
    app.add_middleware(SiteCors, sites, cors_options(settings))
    tokens = _token_options(settings, counters, services.site_secrets)
    app.include_router(token_router(tokens, reception, sites, moves))
    texts = _text_options(settings, counters, services.site_secrets)
    app.include_router(text_router(texts, conversations, sites))
    app.include_router(trial_router(Trials(setup, services.clock)))
    app.include_router(_trial_calls_router(settings, services, reception))
    app.include_router(_phone_router(settings, services.clock))
    rating = RateLimit("10/minute", counters, name="ratings")
    gate = Gate(settings.allowed_origins, sites, rating)
    ratings = Ratings(services.database, services.clock)
    app.include_router(ratings_router(gate, ratings, ResumeTokens(tokens.api_secret).visit_of))
    app.include_router(_demo_router(settings, store, found, stored_now))
    app.include_router(waits_router(Settings.model_fields, settings))
    app.include_router(_insights_router(settings, services, counters))
    add_console(app, settings.console_dir)
    add_pages(app, settings.page_dir, sites, _public_livekit(settings), is_demo=settings.demo)
    app.add_middleware(HostCheck, names=answered_hosts(settings))
    return app


def _supervision(
    settings: Settings, services: Services, livekit: LiveKitServer, rescuer: Rescuer
) -> Supervision:
    return Supervision(
        livekit,
        services.calls,
        rescuer,
        settings.agent_name,
        _livekit_keys(settings),
        clock=services.clock,
    )


def _trial_calls_router(settings: Settings, services: Services, reception: Reception) -> APIRouter:
    calls = TrialCalls(
        reception=reception,
        keys=_livekit_keys(settings),
        vault=services.vault,
        clock=services.clock,
    )
    return trial_call_router(calls)


def _phone_router(settings: Settings, clock: Clock) -> APIRouter:
    """Makes the routes that show the telephone's file, and those that change it."""
    environ, router = environment(), APIRouter()
    router.include_router(phone_router(PhoneFile(settings.phone_file, environ), clock))
    router.include_router(phone_edit_router(settings.phone_file, environ, clock))
    return router


def _demo_router(
    settings: Settings, store: SqlConnectionStore, found: DiscoveryResult, stored_now: int
) -> APIRouter:
    return demo_router(
        store,
        found,
        agent_name=settings.agent_name,
        language=settings.agent_language,
        is_demo=settings.demo,
        names=settings.names_are_public,
        stored_now=stored_now,
    )


@asynccontextmanager
async def _running(
    settings: Settings,
    services: Services,
    livekit: LiveKitServer,
    rescuer: Rescuer,
    supervision: Supervision,
) -> AsyncIterator[None]:
    """Runs the work beside the requests: upkeep, checks, and care for the calls that go on."""
    name, clock, calls = settings.agent_name, services.clock, services.calls
    background = run_background(
        services.database,
        services.store,
        services.webhooks,
        addresses=services.addresses,
        health=services.health,
        clock=clock,
        keep_usage_for=timedelta(days=settings.usage_days),
        keep_chats_for=timedelta(days=settings.chat_days) if settings.chat_days else None,
        keep_calls_for=timedelta(days=settings.call_days) if settings.call_days else None,
        keep_messages_for=timedelta(days=settings.message_days) or None,
    )
    watch = call_watch(calls, rescuer, name, clock, black_box_of_any, abandoned=abandoned_boxes)
    readers = [
        Net(livekit, calls, rescuer, name, clock).read,
        LateListeners(livekit, clock).read,
    ]
    steps = [
        RoomReading(livekit, readers, clock).step,
        HandedOver(livekit, calls, rescuer, clock).step,
    ]
    lease = Lease(services.database, f"rooms of {name}", clock, _LEASE_LASTS)
    rooms = room_watch(steps, clock, lease)
    dialing = planned_calls.running(make_schedule(settings, services, livekit, rescuer, clock))
    works = side_by_side(background, watch, rooms, dialing)
    async with livekit, aclosing(rescuer), aclosing(supervision), works:
        yield


def _public_livekit(settings: Settings) -> str:
    """Returns LiveKit's address as browsers reach it."""
    return settings.livekit_public_url or settings.livekit_url


def _livekit_secret(settings: Settings) -> str:
    return settings.livekit_api_secret.get_secret_value()


def _livekit_keys(settings: Settings) -> LiveKitKeys:
    return LiveKitKeys(
        server_url=_public_livekit(settings),
        api_key=settings.livekit_api_key,
        api_secret=_livekit_secret(settings),
    )


def _token_options(
    settings: Settings, counters: Counters | None, secrets: SiteSecrets
) -> TokenOptions:
    return TokenOptions(
        server_url=_public_livekit(settings),
        api_key=settings.livekit_api_key,
        api_secret=_livekit_secret(settings),
        ttl=settings.token_ttl,
        rate_limit=RateLimit(settings.token_rate_limit, counters, name="tokens"),
        site_rate_limit=RateLimit("120/minute", counters, name="what a site allows"),
        allowed_origins=settings.allowed_origins,
        site_secrets=secrets,
        assistants=settings.visitor_assistants,
    )


def _insights_router(
    settings: Settings, services: Services, counters: Counters | None
) -> APIRouter:
    options = InsightOptions(
        api_key=settings.livekit_api_key,
        api_secret=_livekit_secret(settings),
        rate=RateLimit("600/minute", counters, name="reports of agents"),
    )
    sessions = Sessions(
        services.calls,
        services.clock,
        keep=settings.call_retention,
        redacts_cards=settings.redact_card_numbers,
    )
    return insights_router(options, sessions)


def _text_options(
    settings: Settings, counters: Counters | None, secrets: SiteSecrets
) -> TextOptions:
    return TextOptions(
        secret=_livekit_secret(settings),
        begin_limit=RateLimit(settings.token_rate_limit, counters, name="conversations"),
        message_limit=RateLimit("60/minute", counters, name="messages of visitors"),
        read_limit=RateLimit("240/minute", counters, name="reading by visitors"),
        allowed_origins=settings.allowed_origins,
        assistants=settings.visitor_assistants,
        site_secrets=secrets,
        shared_rooms=settings.shared_rooms,
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
        secret=_livekit_secret(settings),
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


def _security_headers(server_url: str, allowed_origins: Sequence[str]) -> Mapping[str, str]:
    return {
        "Content-Security-Policy": content_policy(server_url, allowed_origins),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    }


async def serve(settings: Settings, listener: socket.socket) -> None:
    """Serves HTTP on `listener` until SIGINT or SIGTERM.

    Raises ConfigurationError for settings that cannot work, and StoreError for a database that
    cannot be reached.
    """
    search = DiscoveryOptions(responder=settings.offline_responder)
    found = await find_connections(settings.connections_file, environment(), search)
    for warning in found.warnings:
        log.warning(warning)
    async with opened_tracer(settings, "patchbay-http") as tracer, open_store(settings) as store:
        stored_now = await store_found(store, found) if settings.demo else 0
        if stored_now:
            log.info("stored %s", ", ".join(c.name for c in found.configured))
        found = found.without_secrets()
        for unused in await find_unused(store, found):
            log.info("%s", unused)
        counters = shared_counters(settings)
        app = build_app(settings, found, store, counters, stored_now=stored_now, tracer=tracer)
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
