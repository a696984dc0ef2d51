"""Lets visitors' requests in: by their address, by their site's key, and by the page's origin."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Query, Request
from pydantic import BaseModel, ValidationError

from agent.visitor_sites import VisitorSites, unknown_site
from llm_router.gateway.deps import own_origins
from llm_router.gateway.errors import Problem, invalid_request
from llm_router.gateway.rates import RateLimit, client_key, client_of
from llm_router.store.sites import StoredSite
from llm_router.voice.page_context import (
    ContextError,
    GivenContext,
    PageContext,
    SiteSecrets,
    read_context,
)

Body = TypeVar("Body", bound=BaseModel)
SiteKey = Annotated[
    str | None, Query(max_length=100, description="Public key of the site of the page.")
]
_NOT_ALLOWED = (
    "This site may not call here: send the key of a site whose origins include it"
    " (`llm-router sites add`), or list it in the setting ALLOWED_ORIGINS."
)
_NOT_OF_THE_SITE = (
    "This page may not use the site's key: its origin must be one of the site's"
    " (`llm-router sites edit`)."
)


@dataclass(frozen=True, slots=True)
class Visitor:
    """The client's address, as it is counted, and the site that it comes from."""

    address: str
    site: StoredSite | None


class Gate:
    """Dependency of a route: counts the request against a limit and checks its site and origin.

    Raises Problem (403, 429, 503).
    """

    def __init__(
        self, allowed_origins: Collection[str], sites: VisitorSites | None, limit: RateLimit
    ) -> None:
        self._allowed = frozenset(allowed_origins)
        self._sites = sites
        self._limit = limit

    async def __call__(self, request: Request, site: SiteKey = None) -> Visitor:
        if site is None:
            _require_origin(request, self._allowed, _NOT_ALLOWED)
        address = client_key(client_of(request))
        await self._limit.hit(address)  # before the database is asked for a site
        return Visitor(address, None if site is None else await self._check_site(request, site))

    async def _check_site(self, request: Request, key: str) -> StoredSite:
        site = await self._sites.site_of(key) if self._sites else None
        if site is None:
            raise unknown_site()
        _require_origin(request, site.record.origins, _NOT_OF_THE_SITE)
        return site


def _require_origin(request: Request, allowed: Collection[str], otherwise: str) -> None:
    """Raises Problem (403) with the sentence `otherwise` for a page of an origin not allowed."""
    # Without an Origin header it is no browser, or a page of this server itself.
    origin = request.headers.get("origin", "").lower()
    if origin and origin not in {*allowed, *own_origins(request)}:
        raise Problem(403, "origin-not-allowed", otherwise)


def offered(requested: str | None, assistants: Sequence[str]) -> str:
    """Returns the assistant of a visitor's call among those offered; empty: the default one."""
    if requested in assistants:
        return str(requested)
    return assistants[0] if assistants else ""


def context_of(
    given: GivenContext | None, visitor: Visitor, secrets: SiteSecrets, now: float
) -> PageContext | None:
    """Reads the context that a visitor's page sends. Raises Problem (422)."""
    if given is None:
        return None
    try:
        return read_context(given, visitor.site.key if visitor.site else None, secrets, now)
    except ContextError as error:
        raise Problem(422, "invalid-context", f"{str(error).capitalize()}.") from None


async def read_body(request: Request, model: type[Body], most: int) -> Body:
    """Reads the request's body, which may be empty. Raises Problem (413, 422)."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise Problem(
                413, "body-too-large", f"The body is too long: send at most {most} bytes."
            )
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise invalid_request(error.errors()) from None
