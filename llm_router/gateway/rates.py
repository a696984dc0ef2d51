"""How often one may ask: counted here, or in Redis for all processes together."""

import ipaddress
import math
import time

from fastapi import Request
from limits import parse
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import ConfigurationError as UnreadableError
from limits.errors import StorageError

from llm_router.errors import ConfigurationError
from llm_router.gateway.errors import Problem
from llm_router.periodic import OutageLog


class RateLimit:
    """`rate` is such as `10/minute`, for each who asks. Redis that is away limits nobody."""

    def __init__(self, rate: str, storage: Storage | None = None) -> None:
        self._limit = parse(rate)
        self._limiter = FixedWindowRateLimiter(storage or MemoryStorage())
        self._outage = OutageLog(
            "requests are not limited until Redis answers again", "requests are limited again"
        )

    async def hit(self, who: str, title: str = "Too many requests") -> None:
        """Counts one more. Raises Problem (429) beyond the limit."""
        try:
            within = await self._limiter.hit(self._limit, who)
            self._outage.succeeded()
            if within:
                return
            stats = await self._limiter.get_window_stats(self._limit, who)
        except StorageError as error:
            self._outage.failed(error)
            return
        wait = max(1, math.ceil(stats.reset_time - time.time()))
        raise Problem(429, title, f"Try again in {wait} s.", {"Retry-After": str(wait)})


def open_counters(redis_url: str | None) -> Storage:
    """Where requests are counted. Raises ConfigurationError where Redis cannot be spoken to."""
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
    """The address a request came from."""
    return request.client.host if request.client else "local"


def client_key(host: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 that one IPv6 line is given."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(address) >> 64 << 64))
