"""Runs a fleet: reads the cloud and the store every few seconds and carries out what is decided."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from llm_router.clock import Clock, SystemClock, utc_now
from llm_router.connections.access import Actor
from llm_router.connections.store import OK, Change, Check, ConnectionStore, Query
from llm_router.errors import (
    ConfigurationError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    SealError,
    TakenError,
)
from llm_router.fleet import decisions
from llm_router.fleet.book import FleetBook
from llm_router.fleet.cloud import Cloud, CloudError, Instance
from llm_router.fleet.decisions import FleetConnection, Seen, decide
from llm_router.fleet.launcher import Launcher
from llm_router.fleet.records import fields_for, fleet_tag, new_connection, read_connection
from llm_router.fleet.spec import FleetSpec
from llm_router.fleet.trial import NotReadyError, try_instance
from llm_router.management.checker import OpenProvider
from llm_router.management.probe import open_provider
from llm_router.options import HealthOptions
from llm_router.periodic import OutageLog, PeriodicTask

_logger = logging.getLogger("llm_router.fleet")

EVERY = 5.0
"""Seconds between two rounds: a notice of two minutes leaves time for many."""
_REFUSED = (ConfigurationError, ConflictError, ForbiddenError, NotFoundError, SealError)
"""Errors of a store that refuses a connection."""


async def _always_leads() -> bool:
    return True


class FleetController:
    """Runs the fleet of `spec` from `start` to `aclose`; what it started in the cloud stays there.

    Any number of processes may have one: the one that `leads` works, the others wait. Each round
    begins from what the cloud and the store show, so a controller that died is replaced by another
    with nothing to hand over. The number of instances is the one in the book.
    """

    def __init__(
        self,
        spec: FleetSpec,
        cloud: Cloud,
        store: ConnectionStore,
        book: FleetBook,
        *,
        clock: Clock | None = None,
        leads: Callable[[], Awaitable[bool]] = _always_leads,
        open_provider: OpenProvider = open_provider,
    ) -> None:
        self._spec = spec
        self._cloud = cloud
        self._store = store
        self._book = book
        self._clock = clock or SystemClock()
        self._leads = leads
        self._open = open_provider
        self._actor = Actor(f"fleet {spec.name}", "admin", origin="patchbay")
        self._launcher = Launcher(spec, cloud, book, self._clock)
        self._trials: dict[str, asyncio.Task[None]] = {}
        self._models: dict[str, str] = {}
        """Model of each instance that has said a word and is no connection yet."""
        self._broken_since: Mapping[str, float] = {}
        self._taken_names: set[str] = set()
        self._ended = asyncio.Event()
        wait = f"fleet {spec.name}: nothing is changed until"
        self._cloud_outage = OutageLog(
            f"{wait} the cloud answers", f"fleet {spec.name}: the cloud answers again"
        )
        self._refusals = OutageLog(
            f"fleet {spec.name}: an instance that answers cannot become a connection",
            f"fleet {spec.name}: instances that answer become connections again",
        )
        outage = OutageLog(
            f"{wait} the database answers", f"fleet {spec.name}: the database answers again"
        )
        self._task = PeriodicTask(
            self.step, self._clock, EVERY, name=f"fleet {spec.name}", outage=outage
        )

    def start(self) -> None:
        """Starts the rounds. A cloud or a database that is away is waited for."""
        self._task.start()

    async def aclose(self) -> None:
        """Ends the rounds and the trials under way. Instances and connections stay as they are."""
        await self._task.aclose()
        for trial in self._trials.values():
            trial.cancel()
        await asyncio.gather(*self._trials.values(), return_exceptions=True)

    async def wait_until_ended(self) -> None:
        """Returns once no instance is wanted, and the cloud lists none that lives."""
        await self._ended.wait()

    async def step(self) -> None:
        """Does one round; a process that does not lead only watches. Raises StoreError."""
        leads = await self._leads()
        try:
            await self._round(leads=leads)
        except CloudError as error:
            self._cloud_outage.failed(error)
        else:
            self._cloud_outage.succeeded()

    async def _round(self, *, leads: bool) -> None:
        wanted = await self._book.wanted(self._spec.name) or 0
        instances = await self._cloud.instances(self._spec.name)
        mine = Query(tags=(fleet_tag(self._spec.name),), limit=None)
        found = (await self._store.find(self._actor, mine)).items
        seen = self._seen(wanted, instances, [read_connection(one) for one in found])
        actions = decide(self._spec, seen)
        for action in actions if leads else ():
            await self._carry_out(action, seen)
        if not actions and not wanted and all(i.state == "gone" for i in instances):
            self._ended.set()

    def _seen(
        self, wanted: int, instances: Sequence[Instance], connections: Sequence[FleetConnection]
    ) -> Seen:
        now = self._clock.wall()
        living = {i.id for i in instances if i.state != "gone"}
        self._models = {one: model for one, model in self._models.items() if one in living}
        broken = {c.id for c in connections if c.status == "error"}
        self._broken_since = {one: self._broken_since.get(one, now) for one in broken}
        return Seen(
            now=now,
            wanted=wanted,
            instances=instances,
            connections=connections,
            launched=self._launcher.launched,
            answered=self._models.keys(),
            broken_since=self._broken_since,
            may_launch_at=self._launcher.may_launch_at,
            taken_names=self._taken_names,
        )

    async def _carry_out(self, action: decisions.Action, seen: Seen) -> None:
        match action:
            case decisions.Launch():
                await self._launcher.launch({i.launch for i in seen.instances})
            case decisions.Try(instance):
                self._try(instance)
            case decisions.Publish(instance, name, connection_id):
                await self._publish(instance, name, connection_id)
            case decisions.Drain(connection_id, reason):
                _logger.info("fleet %s: drained: %s", self._spec.name, reason)
                await self._change(connection_id, {"weight": 0.0})
            case decisions.Deactivate(connection_id, reason):
                _logger.info("fleet %s: deactivated: %s", self._spec.name, reason)
                await self._change(connection_id, {"is_active": False}, reason)
            case decisions.Terminate(instance_id, reason):
                await self._terminate(instance_id, reason, seen)

    def _try(self, instance: Instance) -> None:
        if instance.id in self._trials:
            return
        task = asyncio.create_task(self._run_trial(instance), name=f"trial of {instance.id}")
        self._trials[instance.id] = task
        task.add_done_callback(partial(self._forget_trial, instance.id))

    async def _run_trial(self, instance: Instance) -> None:
        try:
            model = await try_instance(self._spec, instance, self._clock, self._open)
        except NotReadyError as error:
            _logger.debug("fleet %s: %s: %s", self._spec.name, instance.id, error)
        except Exception:
            # A bug at one instance must not end the fleet; its start time runs out.
            _logger.exception("fleet %s: a bug in trying %s", self._spec.name, instance.id)
        else:
            self._models[instance.id] = model
            self._task.wake()

    def _forget_trial(self, instance_id: str, _: asyncio.Task[None]) -> None:
        del self._trials[instance_id]

    async def _publish(self, instance: Instance, name: str, connection_id: str) -> None:
        fields = fields_for(self._spec, instance, self._models[instance.id])
        try:
            if connection_id:
                stored = await self._change(connection_id, fields)
            else:
                new = new_connection(name, fields)
                (stored,) = (added.id for added in await self._store.add(self._actor, [new]))
            if not stored:
                return
            check = Check(at=utc_now(self._clock), kind="test", outcome=OK)
            await self._store.record_check(self._actor, stored, check, HealthOptions())
        except TakenError:
            self._taken_names.add(name)  # a connection of that name is not this fleet's
            return
        except _REFUSED as error:
            self._refusals.failed(error)  # tried again until the instance's start time is over
            return
        self._refusals.succeeded()
        del self._models[instance.id]
        self._launcher.succeeded()
        _logger.info("fleet %s: %s serves calls as %s", self._spec.name, instance.id, name)

    async def _change(
        self, connection_id: str, changes: Mapping[str, Any], reason: str = ""
    ) -> str:
        """Changes a connection and returns its id; empty where a person has removed it."""
        change = Change(id=connection_id, changes=changes, reason=reason)
        try:
            await self._store.apply(self._actor, [change])
        except NotFoundError:
            return ""
        return connection_id

    async def _terminate(self, instance_id: str, reason: str, seen: Seen) -> None:
        await self._cloud.terminate(instance_id)
        has_served = any(c.instance == instance_id for c in seen.connections)
        if has_served or not seen.wanted:
            _logger.info("fleet %s: %s is ended: %s", self._spec.name, instance_id, reason)
        else:
            self._launcher.failed(f"{instance_id} is ended: {reason}")
