"""Checks every active connection now and then, so that a fault is known before a caller meets it.

The use of keys that this takes is in the history of checks, not in the audit log, which it would
fill with a row a minute for each connection.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from llm_router.clock import Clock, Rng, SystemClock, SystemRng
from llm_router.connections.access import SYSTEM
from llm_router.connections.health import delay_until_next_check
from llm_router.connections.record import Connection
from llm_router.connections.store import NOT_ASKED, OK, Check, CheckKind, ConnectionStore, Query
from llm_router.errors import (
    AddressRefusedError,
    ConfigurationError,
    NotFoundError,
    SealError,
    StoreError,
)
from llm_router.failures import Failure, FailureClass
from llm_router.management.probe import look, open_provider
from llm_router.net.guard import AddressGuard
from llm_router.options import HealthOptions
from llm_router.periodic import OutageLog, PeriodicTask
from llm_router.providers.base import Provider

_logger = logging.getLogger("llm_router")

OpenProvider = Callable[[Connection, Clock, AddressGuard | None], Awaitable[Provider]]
GuardOf = Callable[[Connection], AddressGuard | None]
"""What may be called for it."""
AnsweredSince = Callable[[str, datetime], Awaitable[bool]]
"""Whether the connection of that id has answered a caller since then."""


def _anything(_: Connection) -> AddressGuard | None:
    return None


async def _never(_: str, __: datetime) -> bool:
    return False


async def _alone() -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class CheckerDeps:
    """What a checker asks of others. The defaults are for one that is alone with a store."""

    leads: Callable[[], Awaitable[bool]] = _alone
    """Whether it is for this process to check, now. May raise StoreError."""
    guard_of: GuardOf = _anything
    answered_since: AnsweredSince = _never
    open: OpenProvider = open_provider


@dataclass
class _Known:
    """A connection as it was read, and when it is to be checked next."""

    version: int
    due: float
    """Wall time."""


class Checker:
    """Runs from `start` to `aclose`, in any number of processes, of which one leads at a time.

    A store that cannot be read is tried again at the next step.
    """

    def __init__(
        self,
        store: ConnectionStore,
        options: HealthOptions | None = None,
        world: CheckerDeps | None = None,
        *,
        clock: Clock | None = None,
        rng: Rng | None = None,
    ) -> None:
        self._store, self._options = store, options or HealthOptions()
        self._world = world or CheckerDeps()
        self._clock, self._rng = clock or SystemClock(), rng or SystemRng()
        self._known: dict[str, _Known] = {}
        self._revision: int | None = None
        self._checking: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(self._options.concurrency)
        self._told: set[str] = set()
        outage = OutageLog(
            "connections are not checked until the database answers again",
            "connections are checked again",
        )
        self._task = PeriodicTask(
            self.step, self._clock, self._options.poll_interval, outage, name="checker"
        )

    def start(self) -> None:
        self._task.start()

    async def aclose(self) -> None:
        """Ends the steps and cancels the checks that are running."""
        await self._task.aclose()
        for task in self._checking.values():
            task.cancel()
        if self._checking:
            await asyncio.wait([*self._checking.values()])

    async def step(self) -> None:
        """Begin with what is due, if this process leads. Raises StoreError."""
        if not await self._world.leads():
            self._known, self._revision = {}, None  # others go on by what is stored
            return
        if (revision := await self._store.revision()) != self._revision:
            active = (await self._store.find(SYSTEM, Query(is_active=True, limit=None))).items
            self._known = {one.id: await self._as_known(one) for one in active}
            self._revision = revision
        for connection_id, known in self._known.items():
            if known.due <= self._clock.wall() and connection_id not in self._checking:
                task = asyncio.create_task(self._check(connection_id), name="health check")
                self._checking[connection_id] = task
                task.add_done_callback(partial(self._checked, connection_id))

    async def settled(self) -> None:
        """Until every check that has begun is done."""
        while self._checking:
            await asyncio.wait([*self._checking.values()])

    async def _as_known(self, connection: Connection) -> _Known:
        before = self._known.get(connection.id)
        if before and before.version == connection.version:
            return before
        latest = None
        if not before:
            history = await self._store.checks(SYSTEM, connection.id, limit=1)
            latest = next(iter(history.items), None)
        if latest and connection.updated_at and latest.at < connection.updated_at:
            latest = None  # it was edited since
        return _Known(connection.version, self._due(connection, latest))

    def _due(self, connection: Connection, latest: Check | None) -> float:
        if latest is None:
            return 0.0
        spread = 1 + self._options.jitter * (2 * self._rng.random() - 1)
        return latest.at.timestamp() + spread * delay_until_next_check(
            connection.status, latest, self._options
        )

    async def _check(self, connection_id: str) -> None:
        async with self._room:
            try:
                connection = await self._store.get(SYSTEM, connection_id, secrets=True)
                check = await self._looked_at(connection)
                after = await self._store.record_check(SYSTEM, connection_id, check, self._options)
            except NotFoundError:
                return
            except (StoreError, SealError) as error:
                self._put_off(connection_id, str(error))
                return
            except Exception:
                # A bug at one connection must not end the checks of all others.
                _logger.exception("a bug in checking connection %s", connection_id)
                self._put_off(connection_id, "")
                return
        self._told.discard(connection_id)
        known = self._known.get(connection_id)
        if (
            known and known.version == connection.version
        ):  # else it was edited meanwhile, and is due
            known.due = self._due(after, check)

    def _put_off(self, connection_id: str, why: str) -> None:
        if why and connection_id not in self._told:
            self._told.add(connection_id)
            _logger.warning("connection %s could not be checked: %s", connection_id, why)
        if known := self._known.get(connection_id):
            known.due = self._clock.wall() + self._options.interval

    def _checked(self, connection_id: str, _: asyncio.Task[None]) -> None:
        del self._checking[connection_id]

    async def _looked_at(self, connection: Connection) -> Check:
        at, started = datetime.fromtimestamp(self._clock.wall(), UTC), self._clock.now()
        kind: CheckKind = "word" if self._options.generate_token else "probe"
        try:
            failure = await self._look(connection)
        except AddressRefusedError as error:
            return Check(at=at, outcome=NOT_ASKED, detail=str(error))
        if failure is None:
            return Check(at=at, kind=kind, latency=self._clock.now() - started)
        # A key that may not list models, or a gateway without a list, can answer all the same.
        since = datetime.fromtimestamp(at.timestamp() - 2 * self._options.interval, UTC)
        if await self._world.answered_since(connection.id, since):
            return Check(at=at, kind="call", outcome=OK, detail=f"it answers callers; {failure}")
        return Check(at=at, kind=kind, outcome=failure.kind, detail=str(failure))

    async def _look(self, connection: Connection) -> Failure | None:
        guard = self._world.guard_of(connection)
        try:
            provider = await self._world.open(connection, self._clock, guard)
        except ConfigurationError as error:
            return Failure(FailureClass.BAD_REQUEST, str(error))
        try:
            patience = min(self._options.patience, connection.timeout)
            return await look(provider, patience, for_a_word=self._options.generate_token)
        finally:
            await provider.aclose()
