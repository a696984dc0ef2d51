"""Provides what routes depend on: the services of the process, and the authenticated actor.

A program sends its API key with every request, as `Authorization: Bearer pb_...` or, as clients of
Anthropic's API do, as `x-api-key: pb_...`; both are checked alike. A browser signs in with a key
once and gets a cookie. Scripts cannot read that cookie (httponly), and other sites cannot use it:
the browser does not send it along from elsewhere (SameSite=Strict), and a request that changes
something counts only if `Origin`, which browsers set themselves, names this very site.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from typing import Annotated, NoReturn

from fastapi import Depends, Path, Request, Security
from fastapi.security import (
    APIKeyCookie,
    APIKeyHeader,
    HTTPAuthorizationCredentials,
    HTTPBearer,
)
from opentelemetry.trace import Tracer
from prometheus_client import CollectorRegistry

from llm_router.clock import Clock, SystemClock, utc_now
from llm_router.connections.access import Actor
from llm_router.connections.store import ConnectionStore
from llm_router.errors import ExpiredError
from llm_router.gateway.buckets import TokenBuckets
from llm_router.gateway.completions.places import ReplyPlaces
from llm_router.gateway.errors import Problem
from llm_router.gateway.rates import Counters, RateLimit, client_key, client_of
from llm_router.gateway.scopes import require_allowance, require_route, spends
from llm_router.management.backend import Backend
from llm_router.management.chat_replies import ChatReplies
from llm_router.management.editing import ConnectionEditor
from llm_router.management.generate import TextGenerator
from llm_router.management.model_loads import ModelLoader
from llm_router.management.model_pulls import ModelPulls, ServerModels
from llm_router.management.opening import ConnectionOpener
from llm_router.management.probe import ConnectionProber
from llm_router.management.server_pages import ServerPages
from llm_router.management.shared_router import SharedRouter
from llm_router.management.vetting import AddressRules
from llm_router.management.webhooks import WebhookEditor
from llm_router.options import HealthOptions
from llm_router.routing.events import Observer
from llm_router.routing.router import Router
from llm_router.store.api_keys import ApiKey, ApiKeys
from llm_router.store.assistants import Assistants
from llm_router.store.calls import CallStore
from llm_router.store.chats import Chats
from llm_router.store.crypto import Vault
from llm_router.store.database import Database
from llm_router.store.key_memory import KeyMemory
from llm_router.store.messages import Messages
from llm_router.store.planned_calls import PlannedCalls
from llm_router.store.sign_ins import SignIns
from llm_router.store.sites import Sites
from llm_router.store.webhooks import Webhooks
from llm_router.stored_router import open_automation_router
from llm_router.telemetry.opentelemetry import OpenTelemetryObserver
from llm_router.telemetry.prometheus import PrometheusObserver
from llm_router.voice.assistant import AssistantRecord
from llm_router.voice.page_context import SiteSecrets
from llm_router.voice.supervision import CallSupervisor

COOKIE = "patchbay_session"
_READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

ConnectionId = Annotated[
    str,
    Path(
        description="Of the connection.",
        max_length=100,
        pattern=r"^[A-Za-z0-9_.:@+-]+$",
        examples=["6f0c7ad4-8a5e-4a8e-9f53-0d4a3f2b7c11"],
    ),
]

bearer_scheme = HTTPBearer(
    scheme_name="API key", auto_error=False, description="`Authorization: Bearer pb_...`"
)
key_header_scheme = APIKeyHeader(
    name="x-api-key",
    scheme_name="API key in a header of its own",
    auto_error=False,
    description="The same key, for clients that send it in this way.",
)
session_cookie = APIKeyCookie(
    name=COOKIE,
    scheme_name="Session",
    auto_error=False,
    description="Set by `POST /api/session`. To change something, send `Origin` as well.",
)


@dataclass(frozen=True, kw_only=True)
class Services:
    """The services of the process, which a route gets as `Deps`. `aclose` ends what they started.

    `database` keeps API keys, usage and the audit log, `vault` has the keys for each purpose.
    `request_limit` counts the requests of each key, `unauthenticated_limit` those of each address
    without a valid key, `sign_in_limit` the sign-ins of each address and `all_sign_ins_limit` those
    of all, `counters` the requests of keys with a rate of their own. `environ` holds the
    variables from which presets and imports of an admin take keys. `identify_within`: seconds that
    a new connection's server has to say what it is; 0 asks none. `readiness_checks`: what must work
    for /readyz besides the database; each raises Problem or RouterError if it does not.
    `open_chat_router` opens the router of /v1; None: one over `store`, with the usual options.
    `reply_places` bounds the replies of /v1 in progress. `registry` holds the series of /metrics.
    `allowed_origins`: origins of other sites whose pages may ask. `buckets` limit each user of
    /api/local-llm, whose Ollama pulls and deletes models if `local_llm_may_pull`.
    `longest_stream`: seconds after which a stream of calls ends by itself. `assistants_in_file`
    reads the file of assistants; it raises ConfigurationError. `supervisor` acts on calls that go
    on; None: this process cannot reach LiveKit. `tracer` makes the spans of requests, and of the
    router's replies to them; None: nothing is traced.
    """

    database: Database
    store: ConnectionStore
    keys: ApiKeys
    webhooks: Webhooks
    vault: Vault
    health: HealthOptions = field(default_factory=HealthOptions)
    clock: Clock = field(default_factory=SystemClock)
    counters: Counters = field(default_factory=Counters)
    request_limit: RateLimit = field(default_factory=lambda: RateLimit("600/minute"))
    unauthenticated_limit: RateLimit = field(default_factory=lambda: RateLimit("60/minute"))
    sign_in_limit: RateLimit = field(default_factory=lambda: RateLimit("20/minute"))
    all_sign_ins_limit: RateLimit = field(default_factory=lambda: RateLimit("600/minute"))
    allowed_addresses: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    identify_within: float = 1.5
    readiness_checks: Sequence[Callable[[], Awaitable[object]]] = ()
    open_chat_router: Callable[[], AbstractAsyncContextManager[Router]] | None = None
    reply_places: ReplyPlaces = field(default_factory=ReplyPlaces)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    allowed_origins: Sequence[str] = ()
    buckets: TokenBuckets = field(default_factory=TokenBuckets)
    local_llm_may_pull: bool = False
    longest_stream: float = 3600.0
    assistants_in_file: Callable[[], Mapping[str, AssistantRecord]] = dict
    supervisor: CallSupervisor | None = None
    tracer: Tracer | None = None
    model_loader: ModelLoader = field(default_factory=ModelLoader)
    model_pulls: ModelPulls = field(default_factory=ModelPulls)

    @property
    def addresses(self) -> AddressRules:
        return AddressRules(self.allowed_addresses)

    @property
    def chats(self) -> Chats:
        return Chats(self.database, self.clock)

    @property
    def calls(self) -> CallStore:
        return CallStore(self.database)

    @property
    def planned_calls(self) -> PlannedCalls:
        return PlannedCalls(self.database, self.clock)

    @property
    def messages(self) -> Messages:
        return Messages(self.database, self.clock)

    @cached_property
    def chat_replies(self) -> ChatReplies:
        """The replies of stored chats that this process writes."""
        return ChatReplies(self.chats, self.clock)

    @property
    def assistants(self) -> Assistants:
        return Assistants(self.database, self.vault, self.clock)

    @property
    def sites(self) -> Sites:
        return Sites(self.database, self.clock)

    @property
    def site_secrets(self) -> SiteSecrets:
        """The secrets with which servers of sites sign what their pages say."""
        return SiteSecrets(self.vault.derive("secrets of sites"))

    @property
    def opener(self) -> ConnectionOpener:
        return ConnectionOpener(
            store=self.store, audit=self.keys, addresses=self.addresses, clock=self.clock
        )

    @property
    def editor(self) -> ConnectionEditor:
        return ConnectionEditor(
            self.store,
            self.addresses,
            environ=self.environ,
            identify_within=self.identify_within,
        )

    @property
    def prober(self) -> ConnectionProber:
        return ConnectionProber(self.opener, self.health, self.identify_within)

    @property
    def models(self) -> ServerModels:
        return ServerModels(self.opener, self.model_pulls)

    @property
    def backend(self) -> Backend:
        return Backend(self.opener, self.model_loader)

    @property
    def webhook_editor(self) -> WebhookEditor:
        return WebhookEditor(self.webhooks, self.addresses, self.clock)

    @cached_property
    def generator(self) -> TextGenerator:
        """The one generator of the process, which keeps routers open between requests."""
        return TextGenerator(self.opener, self.database)

    @cached_property
    def chat_router(self) -> SharedRouter:
        """The one router of the process for /v1, which opens with the first request."""
        opening = self.open_chat_router or partial(
            open_automation_router,
            self.store,
            self.database,
            allowed_addresses=self.allowed_addresses,
            observers=reply_observers(self.registry, self.tracer),
            clock=self.clock,
        )
        return SharedRouter(opening)

    @cached_property
    def server_pages(self) -> ServerPages:
        """The one reader of the process for the metrics of model servers."""
        return ServerPages(self.store, self.addresses, self.clock)

    @cached_property
    def key_memory(self) -> KeyMemory:
        return KeyMemory(self.keys, self.clock)

    @cached_property
    def sign_ins(self) -> SignIns:
        own_keys = self.vault.derive("sign-ins")
        return SignIns(self.database, self.keys, own_keys, self.clock)

    def now(self) -> datetime:
        return utc_now(self.clock)

    async def aclose(self) -> None:
        """Ends replies of chats, pulls and loads of models, and closes the routers."""
        await self.key_memory.aclose()
        await self.server_pages.aclose()
        await self.chat_replies.aclose()
        await self.chat_router.aclose()
        await self.model_pulls.aclose()
        await self.model_loader.aclose()
        await self.generator.aclose()


def reply_observers(registry: CollectorRegistry, tracer: Tracer | None) -> list[Observer]:
    """Returns the observers of replies that are asked for over HTTP."""
    return [PrometheusObserver(registry), *([OpenTelemetryObserver(tracer)] if tracer else [])]


# Dependencies are asynchronous because FastAPI sends others to a thread, which takes longer.
async def get_services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Deps = Annotated[Services, Depends(get_services)]


async def authenticate(
    request: Request,
    deps: Deps,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(bearer_scheme)],
    header: Annotated[str | None, Security(key_header_scheme)],
    cookie: Annotated[str | None, Security(session_cookie)],
) -> ApiKey:
    """Returns the API key of the request, or of its session. Raises Problem (401, 403, 429)."""
    client = client_of(request)
    if text := (bearer.credentials if bearer else "") or header:
        key = await find_key(deps, text, client)
    elif cookie:
        if request.method not in _READ_METHODS:
            require_own_origin(request)
        key = await _known(deps, deps.sign_ins.authenticate(cookie), client)
    else:
        await _refuse(deps, client)
    await admit(deps, key, request.scope["path"])
    if spends(request.method, request.scope["path"]):
        require_allowance(key, deps.now())
    return key


async def find_key(services: Services, text: str, client: str) -> ApiKey:
    """Returns the API key of this text, which `client` (an address) has sent.

    Raises Problem (401) for one that is unknown, revoked or expired, and (429) after too many.
    """
    return await _known(services, services.key_memory.authenticate(text), client)


async def _known(services: Services, found: Awaitable[ApiKey | None], client: str) -> ApiKey:
    try:
        key = await found
    except ExpiredError as error:
        await _refuse(services, client, error)
    return key or await _refuse(services, client)


async def admit(services: Services, key: ApiKey, path: str) -> None:
    """Counts a request with the key, and lets it through.

    Raises Problem (429) beyond its rate, and (403) for a path out of its scope.
    """
    await services.request_limit.hit(key.id)
    if key.rate_limit_rpm is not None:
        own = RateLimit(f"{key.rate_limit_rpm}/minute", services.counters, name="own requests")
        await own.hit(key.id)
    require_route(key, path)


async def require_allowance_of(services: Services, actor: Actor) -> None:
    """Raises Problem (429) where the key of the actor may have no further reply now."""
    if actor.is_limited and (key := await services.keys.get_valid(actor.key_id)):
        require_allowance(key, services.now())


CurrentKey = Annotated[ApiKey, Depends(authenticate)]


async def authenticate_if_asked(
    request: Request,
    deps: Deps,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(bearer_scheme)],
    header: Annotated[str | None, Security(key_header_scheme)],
    cookie: Annotated[str | None, Security(session_cookie)],
) -> ApiKey | None:
    """Returns the API key of the request, or None for a request without one. Raises Problem."""
    if not (bearer or header or cookie):
        return None
    return await authenticate(request, deps, bearer, header, cookie)


PresentKey = Annotated[ApiKey | None, Depends(authenticate_if_asked)]


async def get_actor(request: Request, key: CurrentKey) -> Actor:
    return key.actor(origin=client_of(request))


CurrentActor = Annotated[Actor, Depends(get_actor)]
"""The authenticated actor; a route that takes it refuses all other requests."""


async def _refuse(services: Services, client: str, expired: ExpiredError | None = None) -> NoReturn:
    """Raises the Problem for a request without a valid key or session: 401, or 429 after many."""
    await services.unauthenticated_limit.hit(client_key(client))
    headers = {"WWW-Authenticate": "Bearer"}
    if expired:
        raise Problem(401, "key-expired", str(expired), headers)
    raise Problem(
        401,
        "unauthenticated",
        "No valid API key: send one that works as `Authorization: Bearer pb_...`, or sign in with"
        " one.",
        headers,
    )


def require_own_origin(request: Request) -> None:
    """Raises Problem (403) unless the page that sends the request is of this very site."""
    if request.headers.get("origin", "").lower() not in own_origins(request):
        raise Problem(
            403,
            "cross-origin",
            "Another site asks in your name: with a session, Origin must be this site. Programs use"
            " an API key instead.",
        )


def own_origins(request: Request) -> frozenset[str]:
    """Returns `Origin` of a page of this very site, in both schemes: a proxy may hide which."""
    host = request.headers.get("host", "").lower()
    return frozenset({f"http://{host}", f"https://{host}"})
