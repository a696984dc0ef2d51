"""Finds the site that a visitor's request comes from, by its public key, and what it allows."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from math import inf
from typing import Any
from urllib.parse import parse_qs

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.dispatch import SiteTerms
from llm_router.clock import Clock, SystemClock
from llm_router.errors import StoreError
from llm_router.gateway.errors import Problem
from llm_router.gateway.rates import Counters, RateLimit
from llm_router.store.sites import StoredSite
from llm_router.voice.site import KEY_PATTERN, Mode

_REMEMBERED = 5.0
"""Seconds for which the sites are remembered, and so until a change of one holds."""
_UNKNOWN_AFTER = 1.0
"""Seconds after which the sites are read again for a key that is none of theirs: it may be new, and
a flood of made-up ones must not hold up the pages of sites."""
_DAY = 86_400
_VISITOR_PATH = re.compile(r"/(token|site|api/visitor(/.*)?)")
"""The paths at which pages of sites ask."""
_ALL_MODES: frozenset[Mode] = frozenset({"text", "voice"})

ReadSites = Callable[[], Awaitable[Sequence[StoredSite]]]


def modes_of(site: StoredSite | None) -> frozenset[Mode]:
    """Returns the ways to talk that a site allows; None: no site of others, and so all."""
    return site.record.modes if site else _ALL_MODES


def unknown_site() -> Problem:
    return Problem(
        403,
        "unknown-site",
        "No active site has this key: `llm-router sites list` shows those that work.",
    )


class VisitorSites:
    """The sites, which are read all at once and remembered for some seconds.

    While the database does not answer, a site that was read before is used as it was.
    """

    def __init__(
        self, read: ReadSites, counters: Counters | None = None, clock: Clock | None = None
    ) -> None:
        self._read = read
        self._counters = counters or Counters()
        self._clock = clock or SystemClock()
        self._by_key: Mapping[str, StoredSite] = {}
        self._by_name: Mapping[str, StoredSite] = {}
        self._read_at = -inf
        self._failure = ""
        self._reading = asyncio.Lock()

    async def site_of(self, key: str) -> StoredSite | None:
        """Returns the active site of a key, or None.

        For a key that was no site's before it raises StoreError while the database does not answer.
        """
        if not re.fullmatch(KEY_PATTERN, key):
            return None
        await self._refresh(lambda: key in self._by_key)
        site = self._by_key.get(key)
        return site if site and site.record.is_active else None

    async def modes_in(self, name: str) -> frozenset[Mode]:
        """Returns the ways to talk in a call that began from a site; empty: from none of others.

        In the call of a site that is gone it is text alone. Raises StoreError as `site_of` does.
        """
        if not name:
            return _ALL_MODES
        await self._refresh(lambda: name in self._by_name)
        return modes_of(self._by_name[name]) if name in self._by_name else frozenset({"text"})

    async def _refresh(self, is_known: Callable[[], bool]) -> None:
        """Reads the sites if it is time to, once for all who ask meanwhile."""
        if self._is_due(is_known=is_known()):
            async with self._reading:
                if self._is_due(is_known=is_known()):
                    await self._read_all()
        if self._failure and not is_known():
            raise StoreError(self._failure)

    def _is_due(self, *, is_known: bool) -> bool:
        age = self._clock.now() - self._read_at
        return age >= (_REMEMBERED if is_known else _UNKNOWN_AFTER)

    async def _read_all(self) -> None:
        try:
            found = await self._read()
        except StoreError as error:
            self._failure = str(error)
        else:
            self._failure = ""
            self._by_key = {site.key: site for site in found}
            self._by_name = {site.record.name: site for site in found}
        self._read_at = self._clock.now()

    async def admit(self, site: StoredSite, address: str) -> SiteTerms:
        """Counts a call that a visitor is about to begin, and returns what it may use.

        Raises Problem (429, 503) where the site's calls for this minute, the visitor's for this
        hour, or the money for this day are used up.
        """
        record, terms = site.record, self.terms(site)
        if record.calls_per_visitor:
            hourly = RateLimit(f"{record.calls_per_visitor}/hour", self._counters, name="site")
            await hourly.hit(f"{record.name} {address}")
        if record.calls_per_minute:
            each_minute = RateLimit(f"{record.calls_per_minute}/minute", self._counters, name="all")
            await each_minute.hit(f"site {record.name}")
        return terms

    def terms(self, site: StoredSite) -> SiteTerms:
        """Returns what a call of a site may use. Raises Problem (503) if the day's money is."""
        record, left = site.record, 0.0
        if record.spend_per_day is not None:
            left = record.spend_per_day - site.spent_today
            if left <= 0:
                raise _spent(self._clock.wall())
        return SiteTerms(
            site=record.name,
            modes=record.modes,
            max_seconds=record.longest_call or 0,
            max_cost=left,
            keep=record.keep,
            keep_days=record.keep_days,
        )


def _spent(now: float) -> Problem:
    """Returns the 503 for a site whose money for the day is spent: until midnight, UTC."""
    seconds = str(int(_DAY - now % _DAY) + 1)
    detail = "This site takes no more calls today. Try again tomorrow."
    return Problem(503, "site-spent", detail, {"Retry-After": seconds})


class SiteCors(CORSMiddleware):
    """Lets pages of a site ask that send its key as `site` in the query, besides the usual origins.

    That holds for the visitors' routes alone. The key is in the query because a browser asks for
    leave first, without the body.
    """

    _origins: ContextVar[frozenset[str]] = ContextVar("origins of the site")

    def __init__(self, app: ASGIApp, sites: VisitorSites, options: Mapping[str, Any]) -> None:
        super().__init__(app, **options)
        self._sites = sites

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._origins.set(await self._origins_of(scope) if scope["type"] == "http" else frozenset())
        await super().__call__(scope, receive, send)

    def is_allowed_origin(self, origin: str) -> bool:
        return origin.lower() in self._origins.get() or super().is_allowed_origin(origin)

    async def _origins_of(self, scope: Scope) -> frozenset[str]:
        query = scope.get("query_string", b"")
        if b"site=" not in query or not _VISITOR_PATH.fullmatch(scope["path"]):
            return frozenset()
        keys = parse_qs(query.decode("latin-1"), max_num_fields=10).get("site", [""])
        try:
            site = await self._sites.site_of(keys[0])
        except (StoreError, ValueError):  # the route says what is wrong
            return frozenset()
        return frozenset(site.record.origins) if site else frozenset()
