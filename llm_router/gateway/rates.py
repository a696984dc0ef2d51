"""Limits the rate of requests, counted in this process or in Redis for all processes together."""

import ipaddress
import math

from fastapi import Request
from limits import parse
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import ConfigurationError as UnreadableError
from limits.errors import StorageError

from llm_router.clock import SystemClock
from llm_router.errors import ConfigurationError
from llm_router.gateway.errors import Problem
from llm_router.periodic import OutageLog


class RateLimit:
    """Limits each client to a `rate` such as `10/minute`.

    While Redis does not answer, requests are not limited.
    """

    def __init__(self, rate: str, storage: Storage | None = None) -> None:
        self._limit = parse(rate)
        self._limiter = FixedWindowRateLimiter(storage or MemoryStorage())
        self._outage = OutageLog(
            "requests are not limited until Redis answers again", "requests are limited again"
        )

    async def hit(self, client: str) -> None:
        """Counts one more request of `client`. Raises Problem (429) beyond the limit."""
        try:
            is_within = await self._limiter.hit(self._limit, client)
            self._outage.succeeded()
            if is_within:
                return
            stats = await self._limiter.get_window_stats(self._limit, client)
        except StorageError as error:
            self._outage.failed(error)
            return
        wait = max(1, math.ceil(stats.reset_time - SystemClock().wall()))
        raise Problem(
            429,
            "rate-limited",
            f"Too many requests: try again in {wait} s.",
            {"Retry-After": str(wait)},
        )


def open_counters(redis_url: str | None) -> Storage:
    """Opens the counters. Raises ConfigurationError for a URL that no Redis client understands."""
    if redis_url is None:
        return MemoryStorage()
    try:
        return RedisStorage(
            redis_url, wrap_exceptions=True, implementation="redispy", key_prefix="patchbay:rates"
        )
    except (UnreadableError, ValueError):
        # Not chained, and not quoted: the URL may hold a password.
        raise ConfigurationError(
            "REDIS_URL: cannot be used; it must look like redis://127.0.0.1:6379/0"
        ) from None


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
