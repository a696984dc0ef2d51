"""Resolves host names in threads of its own, so that a dead name server delays nothing else.

asyncio's own lookups share a handful of threads with whatever else the process runs in threads,
such as the detection of a caller's turns: a few names whose servers do not answer take all of them.
"""

import asyncio
import math
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from aiohappyeyeballs import AddrInfoType

from llm_router.clock import Clock, SystemClock

_FRESH = 30.0
"""Seconds for which an answer is used without a new lookup; the system's resolver names none."""
_STALE = 86_400.0
"""Seconds for which an older answer is used while no newer one can be had (RFC 8767)."""
_STALE_WAIT = 0.2
"""Seconds that a lookup may take before an older answer is used in its place."""
_FAILED = 1.0
"""Seconds for which a name that was not found is not looked up again."""
_MAX_NAMES = 1000
_MAX_LOOKUPS = 64
"""Lookups under way at the same time, each in a thread."""

_Result = Sequence[AddrInfoType] | OSError
Lookup = Callable[[str], Sequence[AddrInfoType]]
"""Resolves a host name, in a thread. Raises OSError where it has no address."""


def system_lookup(host: str) -> Sequence[AddrInfoType]:
    """Asks the system's resolver, which reads the hosts file and speaks DNS."""
    try:
        return socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label too long for DNS
        raise OSError(f"{host[:100]!r} is not a host name") from error


@dataclass(slots=True)
class _Name:
    """The knowledge of one host name. Times are of the clock, in seconds."""

    found: tuple[AddrInfoType, ...] = ()
    found_at: float = -math.inf
    is_doubtful: bool = False
    error: str = ""
    failed_at: float = -math.inf
    lookup: Future[_Result] | None = None
    began_at: float = 0.0

    def has_answer(self, now: float, lifetime: float) -> bool:
        """Returns whether an answer is known that is no older than `lifetime` seconds."""
        return bool(self.found) and 0 <= now - self.found_at < lifetime

    @property
    def is_asked(self) -> bool:
        return self.lookup is not None and not self.lookup.done()

    def has_failed(self, now: float) -> bool:
        return 0 <= now - self.failed_at < _FAILED

    def settle(self) -> None:
        """Takes over the result of a lookup that has ended."""
        if self.lookup is None or not self.lookup.done():
            return
        result, self.lookup = self.lookup.result(), None
        if isinstance(result, OSError):
            self.error, self.failed_at = str(result), self.began_at
        else:
            self.found, self.found_at = tuple(result), self.began_at
            self.is_doubtful, self.failed_at = False, -math.inf


class NameResolver:
    """Resolves names and remembers the answers, for every connection of a process.

    One lookup a name is under way at a time for all that ask. While the name server is away or
    slow, an answer of the last day is used. Leaving `resolve` early leaves its lookup running.
    """

    def __init__(self, lookup: Lookup = system_lookup, clock: Clock | None = None) -> None:
        self._lookup = lookup
        self._clock = clock or SystemClock()
        self._names: dict[str, _Name] = {}

    async def resolve(self, host: str) -> Sequence[AddrInfoType]:
        """Returns the addresses of a host, in the order to try them, with port 0.

        Raises OSError if it has none, or if too many other names are being looked up.
        """
        name = self._name(host.lower().rstrip("."))
        name.settle()
        now = self._clock.now()
        if name.has_answer(now, _FRESH) and not name.is_doubtful:
            return name.found
        if not name.has_failed(now):
            await self._ask(host, name, now)
        if name.has_answer(self._clock.now(), _STALE):
            return name.found
        raise OSError(name.error or f"{host[:100]} has no address")

    def doubt(self, host: str) -> None:
        """Has the next `resolve` ask for the host again: it answered at no address."""
        if name := self._names.get(host.lower().rstrip(".")):
            name.is_doubtful = True

    async def _ask(self, host: str, name: _Name, now: float) -> None:
        """Waits for the name's lookup: to its end, or for a moment where an answer is known."""
        if name.lookup is None:
            if sum(one.is_asked for one in self._names.values()) >= _MAX_LOOKUPS:
                name.error, name.failed_at = "too many host names are being looked up", now
                return
            name.lookup, name.began_at = self._start(host), now
        patience = _STALE_WAIT if name.has_answer(now, _STALE) else None
        await asyncio.wait([asyncio.wrap_future(name.lookup)], timeout=patience)
        name.settle()

    def _start(self, host: str) -> Future[_Result]:
        future: Future[_Result] = Future()
        future.set_running_or_notify_cancel()  # from here on no waiter that leaves cancels it

        def run() -> None:
            try:
                future.set_result(self._lookup(host))
            except OSError as error:
                future.set_result(error)
            except Exception as error:  # noqa: BLE001  the edge of a thread: its waiters get the reason
                future.set_result(OSError(f"{type(error).__name__}: {error}"))

        # A daemon: a name server that is away must not hold up the end of the process.
        threading.Thread(target=run, name="host name", daemon=True).start()
        return future

    def _name(self, host: str) -> _Name:
        if (name := self._names.get(host)) is None:
            if len(self._names) >= _MAX_NAMES:
                del self._names[next(h for h, one in self._names.items() if not one.is_asked)]
            name = self._names[host] = _Name()
        return name


RESOLVER = NameResolver()
"""The resolver of this process."""
