"""Decides what a fleet needs next, from what the cloud and the store show. No I/O, no clock."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime

from llm_router.connections.record import Status
from llm_router.fleet.cloud import Instance, address_of
from llm_router.fleet.spec import FleetSpec

APPEARS_WITHIN = 120.0
"""Seconds within which a cloud must list an instance that it has launched."""
_FIRST_PAUSE, _LONGEST_PAUSE = 15.0, 600.0
"""Seconds between two launches after one refusal, and after many."""
_REBALANCE = "the cloud expects to take its instance back (rebalance recommendation)"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetConnection:
    """A connection of the fleet as it is stored. `changed_at`: its last edit (s since 1970)."""

    id: str
    name: str
    instance: str
    template: str
    is_active: bool
    is_drained: bool
    status: Status = "active"
    changed_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that one round knows. Times in seconds since 1970."""

    now: float
    wanted: int
    """Number of instances; 0: the fleet ends."""
    instances: Sequence[Instance] = ()
    connections: Sequence[FleetConnection] = ()
    launched: Mapping[int, float] = field(default_factory=dict)
    """Time of each launch that this process has made, by number."""
    answered: AbstractSet[str] = frozenset()
    """Ids of instances whose model has said a word since the last round."""
    broken_since: Mapping[str, float] = field(default_factory=dict)
    """Time since when connections, by id, fail their health checks."""
    may_launch_at: float = 0.0
    taken_names: AbstractSet[str] = frozenset()
    """Names that other connections of the same owner have."""


@dataclass(frozen=True, slots=True)
class Launch:
    """Starts one instance."""


@dataclass(frozen=True, slots=True)
class Try:
    """Asks an instance for its models and one word."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class Publish:
    """Makes an instance a connection that calls may use: a new one, or one whose instance is gone.

    `name`: of a new connection. `connection_id` empty: it is new.
    """

    instance: Instance
    name: str
    connection_id: str = ""


@dataclass(frozen=True, slots=True)
class Drain:
    """Has a connection asked only when no other is left."""

    connection_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Deactivate:
    """Takes a connection out of calls. Replies under way go on, and elsewhere if they break off."""

    connection_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Terminate:
    instance_id: str
    reason: str


Action = Launch | Try | Publish | Drain | Deactivate | Terminate


def decide(spec: FleetSpec, seen: Seen) -> list[Action]:
    """Returns what to do now, in this order. Carried out or not, the next round decides anew."""
    return [*_Round(spec, seen).actions()]


def pause_after(refusals: int) -> float:
    """Returns the seconds to wait after so many refused launches or failed starts in a row."""
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(max(0, refusals - 1), 20))


def hourly_cost(spec: FleetSpec, instances: Iterable[Instance]) -> float:
    """Returns what the instances cost an hour; one of unknown price counts as dear as allowed."""
    prices = [i.price for i in instances if i.state != "gone"]
    return sum(spec.max_price if price is None else price for price in prices)


class _Round:
    def __init__(self, spec: FleetSpec, seen: Seen) -> None:
        self.spec = spec
        self.seen = seen
        self.live = [i for i in seen.instances if i.state != "gone"]
        self.by_instance = {c.instance: c for c in seen.connections}

    def actions(self) -> Iterator[Action]:
        yield from self._without_instance()
        leaving = {i.id: reason for i in self.live if (reason := self._leaving(i))}
        staying = [i for i in self.live if i.id not in leaving and not i.notice]
        victims = self._too_many(staying, leaving)
        staying = [i for i in staying if i.id not in victims]
        leaving |= victims
        enough = sum(map(self._serves, staying)) >= self.seen.wanted
        for instance in self.live:
            if reason := self._broken(instance):
                yield Terminate(instance.id, reason)  # no reply is under way that could end well
                yield Deactivate(self.by_instance[instance.id].id, f"{instance.id}: {reason}")
            elif instance.id in leaving:
                yield from self._retire(instance, leaving[instance.id])
            elif instance.notice:
                yield from self._noticed(instance, is_replaced=enough)
        yield from self._newcomers(staying)
        yield from self._launches(staying)

    def _without_instance(self) -> Iterator[Action]:
        """Deactivates connections whose instance is gone, with the cloud's reason if it has one."""
        live = {i.id for i in self.live}
        reasons = {i.id: i.gone_reason for i in self.seen.instances}
        for connection in self.seen.connections:
            if connection.is_active and connection.instance not in live:
                reason = reasons.get(connection.instance) or "its instance is gone"
                yield Deactivate(connection.id, f"{connection.instance}: {reason}")

    def _leaving(self, instance: Instance) -> str:
        """Returns why an instance is to end on our side; empty: it is not."""
        if not self.seen.wanted:
            return "the fleet ends"
        is_late = self.seen.now - instance.launched_at > self.spec.start_within
        if is_late and instance.id not in self.by_instance:
            return f"no word within {self.spec.start_within:g} s of its launch"
        return self._broken(instance)

    def _broken(self, instance: Instance) -> str:
        connection = self.by_instance.get(instance.id)
        if connection is None or not connection.is_active:
            return ""
        since = self.seen.broken_since.get(connection.id, self.seen.now)
        if self.seen.now - since < self.spec.broken_after:
            return ""
        return f"it failed its health checks for {self.spec.broken_after:g} s"

    def _too_many(self, staying: Sequence[Instance], leaving: Container[str]) -> dict[str, str]:
        """Returns the instances to end because of the size or the cost, with the reason.

        First those that do not serve yet, then the dearest.
        """
        surplus = sorted(
            staying,
            key=lambda i: (not self._serves(i), i.price or self.spec.max_price, i.launched_at),
            reverse=True,
        )
        victims = {i.id: "the fleet has become smaller" for i in surplus[: -self.seen.wanted]}
        paid = [i for i in self.live if i.id not in victims and i.id not in leaving]
        cost = hourly_cost(self.spec, (i for i in paid if not self._is_interrupted(i)))
        for instance in surplus[len(victims) :]:
            if cost <= self.spec.max_hourly:
                break
            victims[instance.id] = f"all instances cost more than {self.spec.max_hourly:g} an hour"
            cost -= hourly_cost(self.spec, [instance])
        return victims

    def _retire(self, instance: Instance, reason: str) -> Iterator[Action]:
        """Takes the instance out of calls, and ends it once replies under way had their time."""
        connection = self.by_instance.get(instance.id)
        if connection and connection.is_active:
            yield Deactivate(connection.id, reason)
        elif not connection or self.seen.now - connection.changed_at >= self.spec.drain_for:
            yield Terminate(instance.id, reason)

    def _noticed(self, instance: Instance, *, is_replaced: bool) -> Iterator[Action]:
        connection = self.by_instance.get(instance.id)
        if self._is_interrupted(instance):
            if connection and connection.is_active:
                yield Deactivate(connection.id, _interruption(instance))
        elif is_replaced or not connection:
            yield from self._retire(instance, _REBALANCE)
        elif connection.is_active and not connection.is_drained:
            yield Drain(connection.id, _REBALANCE)

    def _newcomers(self, staying: Iterable[Instance]) -> Iterator[Action]:
        names = {c.name for c in self.seen.connections} | self.seen.taken_names
        live = {i.id for i in self.live}
        # A connection whose instance is gone serves the next one of its launch template, so that
        # its statistics go on and the list does not grow with each interruption.
        free = [c for c in self.seen.connections if c.instance not in live]
        free.sort(key=lambda c: c.name)
        for instance in staying:
            if instance.state != "running" or instance.id in self.by_instance:
                continue
            if instance.id not in self.seen.answered:
                if address_of(self.spec, instance):
                    yield Try(instance)
                continue
            fitting = next((c for c in free if c.template == instance.template), None)
            if fitting:
                free.remove(fitting)
                yield Publish(instance, fitting.name, fitting.id)
            else:
                name = _unused_name(self.spec.name, names)
                names.add(name)
                yield Publish(instance, name)

    def _launches(self, staying: Sequence[Instance]) -> Iterator[Action]:
        now = self.seen.now
        listed = {i.launch for i in self.seen.instances}
        coming = [
            number
            for number, at in self.seen.launched.items()
            if number not in listed and now - at < APPEARS_WITHIN
        ]
        if now < self.seen.may_launch_at:
            return
        paid = hourly_cost(self.spec, (i for i in self.live if not self._is_interrupted(i)))
        paid += len(coming) * self.spec.max_price
        for _ in range(self.seen.wanted - len(staying) - len(coming)):
            paid += self.spec.max_price
            if paid > self.spec.max_hourly * (1 + 1e-9):
                return
            yield Launch()

    def _serves(self, instance: Instance) -> bool:
        connection = self.by_instance.get(instance.id)
        return connection is not None and connection.is_active

    @staticmethod
    def _is_interrupted(instance: Instance) -> bool:
        return instance.notice is not None and instance.notice.kind == "interruption"


def _interruption(instance: Instance) -> str:
    until = instance.notice and instance.notice.until
    at = f" at {datetime.fromtimestamp(until, UTC):%H:%M:%S} UTC" if until else ""
    return f"{instance.id}: the cloud takes the instance back{at} (two-minute notice)"


def _unused_name(fleet: str, names: AbstractSet[str]) -> str:
    number = 1
    while f"{fleet}-{number}" in names:
        number += 1
    return f"{fleet}-{number}"
