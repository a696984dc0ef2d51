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
_RENEWED_AT = _FOR / 2
"""Seconds after which a further request has the database asked while it goes on: no request with a
busy key waits for that."""
_ASKED_AFTER = 0.05
"""Seconds until then: the query takes the loop longer than the way of a request to its server, and
that request is on its way by then."""
_MOST = 1_000


@dataclass(frozen=True, slots=True)
class _Known:
    key: ApiKey
    at: float
    changes: int


class _Asking:
    """The requests that wait for one answer of the database."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.failures: list[StoreError] = []


class KeyMemory:
    """Authenticates by `keys`, and remembers those that are valid for a second. `aclose` ends it.

    A change that this process makes to a key holds at once, an expiry too. Requests that come with
    one key at the same time wait for one answer of the database, and fail together if it fails.
    """

    def __init__(self, keys: ApiKeys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._known: dict[str, _Known] = {}
        """By digest: the keys themselves are not in memory."""
        self._used: set[str] = set()
        """Digests of the keys that requests had since the last renewal."""
        self._asking: WeakValueDictionary[str, _Asking] = WeakValueDictionary()
        self._renewal: asyncio.Task[None] | None = None

    async def aclose(self) -> None:
        """Cancels the renewal in progress."""
        if self._renewal:
            self._renewal.cancel()
            await asyncio.wait({self._renewal})

    async def authenticate(self, text: str) -> ApiKey | None:
        """Returns what `ApiKeys.authenticate` does. Raises ExpiredError and StoreError."""
        name = digest(text)
        known = self._remembered(name)
        if known is None:
            return await self._ask(name, text)
        self._used.add(name)
        if self._clock.now() >= known.at + _RENEWED_AT and self._renewal is None:
            self._renewal = asyncio.create_task(self._renew(), name="renewal of API keys")
            self._renewal.add_done_callback(self._end_renewal)
        return known.key

    def _end_renewal(self, _: asyncio.Task[None]) -> None:
        self._renewal = None

    async def _renew(self) -> None:
        """Asks the database again, soon, for all keys in use; what it cannot say then, a later
        request learns.
        """
        await self._clock.sleep(_ASKED_AFTER)
        asked = {name: known for name in self._used if (known := self._remembered(name))}
        self._used.clear()
        changes = self._keys.changes
        try:
            valid = await self._keys.get_all_valid({known.key.id for known in asked.values()})
        except StoreError:
            return
        for name, known in asked.items():
            if self._known.get(name) is not known:
                continue
            del self._known[name]  # a request with a key that is not valid now learns why
            if key := valid.get(known.key.id):
                self._remember(name, _Known(key, self._clock.now(), changes))
        await self._keys.note_use(valid.values())

    async def _ask(self, name: str, text: str) -> ApiKey | None:
        asking = self._asking.setdefault(name, _Asking())
        failures = len(asking.failures)
        async with asking.lock:
            if known := self._remembered(name):
                return known.key
            if len(asking.failures) > failures:  # while this request waited
                raise StoreError(str(asking.failures[-1])) from asking.failures[-1]
            changes = self._keys.changes
            try:
                key = await self._keys.authenticate(text)
            except StoreError as error:
                asking.failures.append(error)
                raise
            self._known.pop(name, None)
            if key:
                self._remember(name, _Known(key, self._clock.now(), changes))
            return key

    def forget(self) -> None:
        """Has the next request with each key ask the database, for its use up to now as well."""
        self._known.clear()

    def _remembered(self, name: str) -> _Known | None:
        known = self._known.get(name)
        if known is None or known.changes != self._keys.changes:
            return None
        is_old = self._clock.now() >= known.at + _FOR
        return None if is_old or known.key.state(utc_now(self._clock)) != "valid" else known

    def _remember(self, name: str, known: _Known) -> None:
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[name] = known
