"""Limits the rate of requests, counted in this process or in Redis for all processes together."""

import asyncio
import ipaddress
import math
from collections.abc import Awaitable, Callable

from fastapi import Request
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import ConfigurationError as UnreadableError
from limits.errors import StorageError

from llm_router.clock import Clock, SystemClock
from llm_router.errors import ConfigurationError
from llm_router.gateway.errors import Problem
from llm_router.periodic import OutageLog

_REDIS_TIMEOUT = 0.1
"""Seconds that a request waits for Redis at most."""
_REDIS_PAUSE = 1.0
"""Seconds for which a Redis that failed is not asked: until then no request waits for it."""


class Counters:
    """Counts requests in this process and, if `shared` is given, in Redis for all processes.

    While Redis fails, or takes longer than 0.1 s, each process enforces the limits on the requests
    that it has seen itself. Once a second one request asks Redis again.
    """

    def __init__(self, shared: Storage | None = None, clock: Clock | None = None) -> None:
        self.shared = shared
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._shared = FixedWindowRateLimiter(shared) if shared else None
        self._clock = clock or SystemClock()
        self._ask_again_at = 0.0
        self._outage = OutageLog(
            "each process counts requests by itself until Redis answers again",
            "requests of all processes are counted together again",
        )

    async def hit(self, limit: RateLimitItem, *client: str) -> float | None:
        """Counts one more request. Returns None within the limit, else the seconds to wait."""
        # Counted here in any case, so that an outage of Redis gives nobody a fresh start.
        wait = await self._hit(self._own, limit, client)
        if wait is None and (shared := self._shared):
            wait = await self.ask_shared(lambda: self._hit(shared, limit, client))
        return wait

    async def ask_shared(self, ask: Callable[[], Awaitable[float | None]]) -> float | None:
        """Returns the seconds to wait by Redis, which `ask` asks; None while it does not answer.

        `ask` raises StorageError while Redis fails.
        """
        if self._clock.now() < self._ask_again_at:
            return None
        if self._outage.is_out:  # one request finds out for all others
            self._ask_again_at = self._clock.now() + _REDIS_PAUSE
        try:
            async with asyncio.timeout(_REDIS_TIMEOUT):
                wait = await ask()
        except (StorageError, OSError) as error:  # TimeoutError is an OSError
            self._ask_again_at = self._clock.now() + _REDIS_PAUSE
            self._outage.failed(error)
            return None
        self._ask_again_at = 0.0
        self._outage.succeeded()
        return wait

    async def _hit(
        self, limiter: FixedWindowRateLimiter, limit: RateLimitItem, client: tuple[str, ...]
    ) -> float | None:
        if await limiter.hit(limit, *client):
            return None
        stats = await limiter.get_window_stats(limit, *client)
        return max(0.0, stats.reset_time - self._clock.wall())


class RateLimit:
    """Limits each client to a `rate` such as `10/minute`.

    `name` keeps its counts apart from those of other limits in the same `counters`.
    """

    def __init__(self, rate: str, counters: Counters | None = None, *, name: str = "") -> None:
        self._limit = parse(rate)
        self._counters = counters or Counters()
        self._name = name

    async def hit(self, client: str) -> None:
        """Counts one more request of `client`. Raises Problem (429) beyond the limit."""
        wait = await self._counters.hit(self._limit, self._name, client)
        if wait is not None:
            raise too_many(wait)


def too_many(wait: float) -> Problem:
    """Returns the 429 for a client that has to wait so many seconds."""
    seconds = max(1, math.ceil(wait))
    return Problem(
        429,
        "rate-limited",
        f"Too many requests: try again in {seconds} s.",
        {"Retry-After": str(seconds)},
    )


def open_counters(redis_url: str | None) -> Counters:
    """Opens the counters. Raises ConfigurationError for a URL that no Redis client understands."""
    if redis_url is None:
        return Counters()
    from redis.asyncio.retry import Retry  # noqa: PLC0415  few have Redis, and it takes long to load
    from redis.backoff import NoBackoff  # noqa: PLC0415

    try:
        redis = RedisStorage(
            redis_url,
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix="patchbay:rates",
            socket_timeout=_REDIS_TIMEOUT,
            socket_connect_timeout=_REDIS_TIMEOUT,
            retry=Retry(NoBackoff(), 0),  # type: ignore[arg-type]  # handed to redis as it is
        )
    except (UnreadableError, ValueError):
        # Not chained, and not quoted: the URL may hold a password.
        raise ConfigurationError(
            "REDIS_URL: cannot be used; it must look like redis://127.0.0.1:6379/0"
        ) from None
    return Counters(redis)


def client_of(request: Request) -> str:
    """Returns the address that a request came from."""
    return request.client.host if request.client else "local"


def client_key(host: str) -> str:
    """Returns what counts as one client: an IPv4 address, or the /64 of an IPv6 site."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(address) >> 64 << 64))
