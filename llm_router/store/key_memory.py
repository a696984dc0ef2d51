"""Remembers valid API keys for a moment, so that a crowd of requests asks the database once."""

import asyncio
from dataclasses import dataclass
from weakref import WeakValueDictionary

from llm_router.clock import Clock, utc_now
from llm_router.errors import StoreError
from llm_router.store.api_keys import ApiKey, ApiKeys
from llm_router.store.key_format import digest

_FOR = 1.0
"""Seconds for which a key is known: as long a revocation by another process may take to hold."""
_MOST = 1_000


@dataclass(frozen=True, slots=True)
class _Known:
    key: ApiKey
    until: float
    changes: int


class _Asking:
    """The requests that wait for one answer of the database."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.failures: list[StoreError] = []


class KeyMemory:
    """Authenticates by `keys`, and remembers those that are valid for a second.

    A change that this process makes to a key holds at once, an expiry too. Requests that come with
    one key at the same time wait for one answer of the database, and fail together if it fails.
    """

    def __init__(self, keys: ApiKeys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._known: dict[str, _Known] = {}
        """By digest: the keys themselves are not in memory."""
        self._asking: WeakValueDictionary[str, _Asking] = WeakValueDictionary()

    async def authenticate(self, text: str) -> ApiKey | None:
        """Returns what `ApiKeys.authenticate` does. Raises ExpiredError and StoreError."""
        name = digest(text)
        if known := self._remembered(name):
            return known
        asking = self._asking.setdefault(name, _Asking())
        failures = len(asking.failures)
        async with asking.lock:
            if known := self._remembered(name):
                return known
            if len(asking.failures) > failures:  # while this request waited
                raise StoreError(str(asking.failures[-1])) from asking.failures[-1]
            changes = self._keys.changes
            try:
                key = await self._keys.authenticate(text)
            except StoreError as error:
                asking.failures.append(error)
                raise
            if key:
                self._remember(name, _Known(key, self._clock.now() + _FOR, changes))
            return key

    def forget(self) -> None:
        """Has the next request with each key ask the database, for its use up to now as well."""
        self._known.clear()

    def _remembered(self, name: str) -> ApiKey | None:
        known = self._known.get(name)
        if known is None or known.until <= self._clock.now() or known.changes != self._keys.changes:
            return None
        now = utc_now(self._clock)
        return known.key if known.key.state(now) == "valid" else None

    def _remember(self, name: str, known: _Known) -> None:
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[name] = known
