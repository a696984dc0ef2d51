"""Limits bursts of requests by token buckets, in this process or in Redis for all processes.

The algorithm is the generic cell rate algorithm (ITU-T I.371, annex A): of each client one time is
stored, that at which its bucket is full again.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from limits.aio.storage import RedisStorage
from limits.errors import StorageError

from llm_router.clock import Clock, SystemClock
from llm_router.gateway.rates import Counters, too_many

if TYPE_CHECKING:
    from limits.aio.storage.redis.redispy import RedispyBridge
    from redis.asyncio import Redis

_MOST_CLIENTS = 10_000
_TOLERANCE = 0.001
"""Seconds: sums of fractions are not exact."""
_TAKE = """\
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + ARGV[1]
local wait = full - now - ARGV[1] * ARGV[2]
if wait > 0.001 then
    return tostring(wait)
end
redis.call('SET', KEYS[1], string.format('%.6f', full), 'EX', math.ceil(full - now) + 1)
return false
"""
"""`take` as a script of Redis, by its clock, so that processes need not agree on the time."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket that holds `size` tokens and gets `per_minute` new ones; a request takes one."""

    size: int
    per_minute: float

    @property
    def interval(self) -> float:
        """Seconds from one new token to the next."""
        return 60.0 / self.per_minute


def take(bucket: Bucket, full_at: float, now: float) -> tuple[float, float | None]:
    """Takes a token from a bucket that is full again at `full_at`.

    Returns the time at which it is full from now on, and None; or, if it is empty, the same time
    and the seconds until there is a token.
    """
    later = max(full_at, now) + bucket.interval
    wait = later - now - bucket.size * bucket.interval
    return (full_at, wait) if wait > _TOLERANCE else (later, None)


class TokenBuckets:
    """The buckets of all clients, by name.

    Each process has its own; with Redis in `counters`, they are shared. While Redis does not
    answer, each process enforces the limits on the requests that it has seen itself. At most 10,000
    clients are remembered: those that asked last.
    """

    def __init__(self, counters: Counters | None = None, clock: Clock | None = None) -> None:
        self._counters = counters or Counters()
        self._clock = clock or SystemClock()
        self._full_at: dict[tuple[str, str], float] = {}

    async def take(self, bucket: Bucket, name: str, client: str) -> None:
        """Takes a token of the client's bucket of that name; Problem (429) if it is empty."""
        wait = self._take(bucket, (name, client))
        shared = self._counters.shared
        if wait is None and isinstance(shared, RedisStorage):
            wait = await self._counters.ask_shared(lambda: _take(shared, bucket, name, client))
        if wait is not None:
            raise too_many(wait)

    def _take(self, bucket: Bucket, key: tuple[str, str]) -> float | None:
        now = self._clock.now()
        full_at, wait = take(bucket, self._full_at.pop(key, now), now)
        self._full_at[key] = full_at
        if len(self._full_at) > _MOST_CLIENTS:
            del self._full_at[next(iter(self._full_at))]
        return wait


async def _take(redis: RedisStorage, bucket: Bucket, name: str, client_id: str) -> float | None:
    """Raises StorageError while Redis fails."""
    bridge = cast("RedispyBridge", redis.bridge)  # `open_counters` asks for it
    client = cast("Redis", bridge.get_connection())
    key = bridge.prefixed_key(f"bucket/{name}/{client_id}")
    try:
        taking = client.eval(_TAKE, 1, key, str(bucket.interval), str(bucket.size))
        said = await cast("Awaitable[str | None]", taking)
    except redis.base_exceptions as error:
        raise StorageError(error) from error
    return None if said is None else float(said)
