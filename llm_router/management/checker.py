"""Checks every active connection periodically, so that a fault is known before a caller meets it.

A check uses the connection's key. That is recorded in the history of checks, not in the audit log,
which it would fill with a row a minute for each connection.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from llm_router.clock import Clock, Rng, SystemClock, SystemRng, utc_now
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
from llm_router.management.probe import check_provider, open_provider
from llm_router.net.guard import AddressGuard
from llm_router.options import HealthOptions
from llm_router.periodic import OutageLog, PeriodicTask
from llm_router.providers.base import Provider

_logger = logging.getLogger("llm_router")

OpenProvider = Callable[[Connection, Clock, AddressGuard | None], Awaitable[Provider]]
GuardOf = Callable[[Connection], AddressGuard | None]
"""Returns the guard with which a connection's server is called."""
AnsweredSince = Callable[[str, datetime], Awaitable[bool]]
"""Returns whether the connection of that id has answered a caller since that time."""


def _no_guard(_: Connection) -> AddressGuard | None:
    return None


async def _never_answered(_: str, __: datetime) -> bool:
    return False


async def _always_leads() -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class CheckerDeps:
    """The functions that a checker needs; the defaults suit one that is alone with a store."""

    leads: Callable[[], Awaitable[bool]] = _always_leads
    """Returns whether this process may check now. May raise StoreError."""
    guard_of: GuardOf = _no_guard
    answered_since: AnsweredSince = _never_answered
    open: OpenProvider = open_provider


@dataclass
class _Schedule:
    """A version of a connection, and the time of its next check."""

    version: int
    due: float
    """Wall time (s)."""


class Checker:
    """Checks the active connections from `start` to `aclose`.

    Any number of processes may have one; one of them leads at a time, and the others wait.
    """

    def __init__(
        self,
        store: ConnectionStore,
        options: HealthOptions | None = None,
        deps: CheckerDeps | None = None,
        *,
        clock: Clock | None = None,
        rng: Rng | None = None,
    ) -> None:
        self._store = store
        self._options = options or HealthOptions()
        self._deps = deps or CheckerDeps()
        self._clock = clock or SystemClock()
        self._rng = rng or SystemRng()
        self._schedules: dict[str, _Schedule] = {}
        self._revision: int | None = None
        self._checks: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(self._options.concurrency)
        self._warned: set[str] = set()
        outage = OutageLog(
            "connections are not checked until the database answers again",
            "connections are checked again",
        )
        self._task = PeriodicTask(
            self.step, self._clock, self._options.poll_interval, name="checker", outage=outage
        )

    def start(self) -> None:
        """Starts the task that checks. While the store is away, it waits."""
        self._task.start()

    async def aclose(self) -> None:
        """Cancels the checks under way and waits for their end."""
        await self._task.aclose()
        for check in self._checks.values():
            check.cancel()
        await self.wait_for_checks()

    async def step(self) -> None:
        """Starts the checks that are due, if this process leads. Raises StoreError."""
        if not await self._deps.leads():
            # A later lead begins with what is stored.
            self._schedules = {}
            self._revision = None
            return
        if (revision := await self._store.revision()) != self._revision:
            active = (await self._store.find(SYSTEM, Query(is_active=True, limit=None))).items
            are_known = all(one.id in self._schedules for one in active)
            latest = {} if are_known else await self._store.latest_checks(SYSTEM)
            self._schedules = {one.id: self._schedule(one, latest.get(one.id)) for one in active}
            self._revision = revision
        for connection_id, schedule in self._schedules.items():
            if schedule.due <= self._clock.wall() and connection_id not in self._checks:
                task = asyncio.create_task(self._check(connection_id), name="health check")
                self._checks[connection_id] = task
                task.add_done_callback(partial(self._forget, connection_id))

    async def wait_for_checks(self) -> None:
        """Returns when every check that has begun is done."""
        while self._checks:
            await asyncio.wait([*self._checks.values()])

    def _schedule(self, connection: Connection, latest: Check | None) -> _Schedule:
        before = self._schedules.get(connection.id)
        if before and before.version == connection.version:
            return before
        if before or (latest and connection.updated_at and latest.at < connection.updated_at):
            latest = None  # the connection was edited since
        return _Schedule(connection.version, self._due(connection, latest))

    def _due(self, connection: Connection, latest: Check | None) -> float:
        if latest is None:
            return 0.0
        spread = 1 + self._options.jitter * (2 * self._rng.random() - 1)
        return latest.at.timestamp() + spread * delay_until_next_check(
            connection.status, latest, self._options
        )

    async def _check(self, connection_id: str) -> None:
        async with self._slots:
            try:
                connection = await self._store.get(SYSTEM, connection_id, secrets=True)
                check = await self._probe(connection)
                after = await self._store.record_check(SYSTEM, connection_id, check, self._options)
            except NotFoundError:
                return
            except (StoreError, SealError) as error:
                self._postpone(connection_id, str(error))
                return
            except Exception:
                # A bug at one connection must not end the checks of all others.
                _logger.exception("a bug in checking connection %s", connection_id)
                self._postpone(connection_id, "")
                return
        self._warned.discard(connection_id)
        schedule = self._schedules.get(connection_id)
        # One that was edited meanwhile stays due.
        if schedule and schedule.version == connection.version:
            schedule.due = self._due(after, check)

    def _postpone(self, connection_id: str, reason: str) -> None:
        if reason and connection_id not in self._warned:
            self._warned.add(connection_id)
            _logger.warning("connection %s could not be checked: %s", connection_id, reason)
        if schedule := self._schedules.get(connection_id):
            schedule.due = self._clock.wall() + self._options.interval

    def _forget(self, connection_id: str, _: asyncio.Task[None]) -> None:
        del self._checks[connection_id]

    async def _probe(self, connection: Connection) -> Check:
        at = utc_now(self._clock)
        started = self._clock.now()
        kind: CheckKind = "word" if self._options.generate_token else "probe"
        try:
            failure = await self._failure(connection)
        except AddressRefusedError as error:
            return Check(at=at, outcome=NOT_ASKED, detail=str(error))
        if failure is None:
            return Check(at=at, kind=kind, latency=self._clock.now() - started)
        # A key that may not list models, or a gateway without a list, can answer all the same.
        since = datetime.fromtimestamp(at.timestamp() - 2 * self._options.interval, UTC)
        if await self._deps.answered_since(connection.id, since):
            return Check(at=at, kind="call", outcome=OK, detail=f"it answers callers; {failure}")
        return Check(at=at, kind=kind, outcome=failure.kind, detail=str(failure))

    async def _failure(self, connection: Connection) -> Failure | None:
        guard = self._deps.guard_of(connection)
        try:
            provider = await self._deps.open(connection, self._clock, guard)
        except ConfigurationError as error:
            return Failure(FailureClass.BAD_REQUEST, str(error))
        try:
            timeout = min(self._options.patience, connection.timeout)
            for_a_word = self._options.generate_token and connection.serves == "chat"
            return await check_provider(
                provider, timeout, for_a_word=for_a_word, secrets=connection.secrets
            )
        finally:
            await provider.aclose()
