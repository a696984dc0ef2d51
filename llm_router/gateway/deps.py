"""What the routes stand on, and who asks.

A program shows its API key in every request, as `Authorization: Bearer pb_...`. A browser signs in
with one once and gets a cookie. That cookie is out of reach of scripts (httponly), and no other
site can make use of it: it is not sent along from elsewhere (SameSite=Strict), and what changes
something counts only if `Origin`, which browsers set themselves, names this very site.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Path, Request, Security
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from llm_router.clock import Clock, SystemClock
from llm_router.connections.access import Actor, may_act
from llm_router.connections.store import ConnectionStore
from llm_router.gateway.errors import Problem
from llm_router.gateway.rates import RateLimit, client_key, client_of
from llm_router.management.model_loads import Loader
from llm_router.management.model_pulls import ModelPulls, ServerModels
from llm_router.management.opening import ConnectionOpener
from llm_router.management.vetting import AddressRules
from llm_router.net.guard import AddressGuard
from llm_router.options import HealthOptions
from llm_router.store.api_keys import ApiKey, ApiKeys
from llm_router.store.database import Database
from llm_router.store.webhooks import Webhooks

COOKIE = "patchbay_session"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})

ConnectionId = Annotated[
    str,
    Path(
        description="Of the connection.",
        max_length=100,
        pattern=r"^[A-Za-z0-9_.:@+-]+$",
        examples=["6f0c7ad4-8a5e-4a8e-9f53-0d4a3f2b7c11"],
    ),
]

_bearer = HTTPBearer(
    scheme_name="API key", auto_error=False, description="`Authorization: Bearer pb_...`"
)
session_cookie = APIKeyCookie(
    name=COOKIE,
    scheme_name="Session",
    auto_error=False,
    description="What `POST /api/session` sets. To change something, send `Origin` as well.",
)


@dataclass(frozen=True, kw_only=True)
class Services:
    """One for the process; a route gets it as `Served`.

    `database` is the one that keeps keys, usage and the audit log, for routes with queries of their
    own. `requests` and `refusals` say how often one key may ask, and how often one address may ask
    with no valid key. `environ` is where presets and imports of an admin find keys.
    `identify_within`: seconds in which a server may tell what it is; 0: none is asked. `ready`:
    what must be well, besides the database, for /readyz; each raises Problem or RouterError if it
    is not.
    """

    database: Database
    store: ConnectionStore
    keys: ApiKeys
    webhooks: Webhooks
    health: HealthOptions = field(default_factory=HealthOptions)
    clock: Clock = field(default_factory=SystemClock)
    requests: RateLimit = field(default_factory=lambda: RateLimit("600/minute"))
    refusals: RateLimit = field(default_factory=lambda: RateLimit("60/minute"))
    allowed_addresses: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    identify_within: float = 1.5
    loader: Loader = field(default_factory=Loader)
    ready: Sequence[Callable[[], Awaitable[object]]] = ()
    pulls: ModelPulls = field(default_factory=ModelPulls)

    @property
    def addresses(self) -> AddressRules:
        return AddressRules(self.allowed_addresses)

    @property
    def opener(self) -> ConnectionOpener:
        return ConnectionOpener(
            store=self.store, audit=self.keys, addresses=self.addresses, clock=self.clock
        )

    @property
    def models(self) -> ServerModels:
        return ServerModels(self.opener, self.pulls)

    def guard(self, actor: Actor) -> AddressGuard:
        return self.addresses.for_actor(actor)

    def environment(self, actor: Actor) -> Mapping[str, str]:
        """An admin may use the keys of this process. Others could have them sent anywhere."""
        return self.environ if may_act(actor, "give") else {}

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.wall(), UTC)


def services(request: Request) -> Services:
    served: Services = request.app.state.services
    return served


Served = Annotated[Services, Depends(services)]


async def who_asks(
    request: Request,
    served: Served,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    cookie: Annotated[str | None, Security(session_cookie)],
) -> ApiKey:
    """The key a request is made with. Raises Problem (401, 403, 429)."""
    if bearer:
        key = await served.keys.authenticate(bearer.credentials)
    elif cookie:
        if request.method not in _READING:
            refuse_other_sites(request)
        key = await served.keys.authenticate_sign_in(cookie)
    else:
        key = None
    if key is None:
        raise await unknown(request, served)
    await served.requests.hit(key.id)
    return key


Key = Annotated[ApiKey, Depends(who_asks)]


def actor(request: Request, key: Key) -> Actor:
    return key.actor(origin=client_of(request))


Asking = Annotated[Actor, Depends(actor)]
"""Who asks; a route that takes it answers nobody else."""


async def unknown(request: Request, served: Services) -> Problem:
    """What somebody without a valid key or session is answered (401). Raises Problem (429)."""
    await served.refusals.hit(client_key(client_of(request)))
    return Problem(
        401,
        "Who are you?",
        "Send an API key that works as `Authorization: Bearer pb_...`, or sign in with one.",
        {"WWW-Authenticate": "Bearer"},
    )


def refuse_other_sites(request: Request) -> None:
    """Raises Problem (403) unless the page that asks is of this very site."""
    if request.headers.get("origin", "").lower() not in own_origins(request):
        raise Problem(
            403,
            "Another site asks in your name",
            "With a session, Origin must be this site. Programs use an API key instead.",
        )


def own_origins(request: Request) -> frozenset[str]:
    """What `Origin` says of a page of this very site; which scheme, a proxy may hide."""
    host = request.headers.get("host", "").lower()
    return frozenset({f"http://{host}", f"https://{host}"})
