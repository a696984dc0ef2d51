"""A cloud in memory, for tests of fleets: its instances come and go as a test says."""

from collections.abc import Sequence
from dataclasses import replace

from llm_router.clock import Clock
from llm_router.fleet.cloud import CloudError, Instance, LaunchRefusedError, Notice
from llm_router.fleet.spec import FleetSpec


class FakeCloud:
    """A `fleet.cloud.Cloud` whose instances run `starts_after` seconds after their launch.

    `addresses`: those of the instances, in the order of their launches; afterwards 10.0.0.N.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        starts_after: float = 30.0,
        price: float | None = 0.5,
        addresses: Sequence[str] = (),
    ) -> None:
        self._clock = clock
        self._starts_after = starts_after
        self._addresses = addresses
        self.price = price
        """Price (an hour) of instances launched from now on."""
        self.refusal = ""
        """Reason why launches are refused; empty: they are not."""
        self.is_away = False
        """Whether every request is left without an answer."""
        self.loses_answers = False
        """Whether launches are carried out, but their answers are lost."""
        self.launches: list[int] = []
        """Numbers of the launches that were asked for."""
        self._instances: dict[str, tuple[str, Instance]] = {}

    async def launch(self, spec: FleetSpec, number: int) -> None:
        self._answer()
        self.launches.append(number)
        if self.refusal:
            raise LaunchRefusedError(self.refusal)
        made = self._instances.values()
        if not any((fleet, one.launch) == (spec.name, number) for fleet, one in made):
            self._start(spec, number)
        if self.loses_answers:
            raise CloudError("the answer was lost")

    async def instances(self, fleet: str) -> Sequence[Instance]:
        self._answer()
        return [self._now(one) for owner, one in self._instances.values() if owner == fleet]

    async def terminate(self, instance_id: str) -> None:
        self._answer()
        if instance_id in self._instances:
            self.take_back(instance_id, "ended by its owner")

    def give_notice(self, instance_id: str, notice: Notice) -> None:
        """Announces that an instance is likely to be, or will be, taken back."""
        self._replace(instance_id, notice=notice)

    def take_back(self, instance_id: str, reason: str = "taken back") -> None:
        """Ends an instance at once."""
        self._replace(instance_id, state="gone", gone_reason=reason)

    def _start(self, spec: FleetSpec, number: int) -> None:
        place = len(self._instances)
        address = self._addresses[place] if place < len(self._addresses) else f"10.0.0.{place + 1}"
        self._instances[f"i-{place + 1}"] = (
            spec.name,
            Instance(
                id=f"i-{place + 1}",
                launch=number,
                template=spec.template,
                state="pending",
                launched_at=self._clock.wall(),
                address=address,
                instance_type=(*spec.instance_types, "g6.xlarge")[0],
                zone="zone-a",
                price=self.price,
            ),
        )

    def _now(self, instance: Instance) -> Instance:
        is_up = self._clock.wall() - instance.launched_at >= self._starts_after
        if instance.state == "pending" and is_up:
            return replace(instance, state="running")
        return instance

    def _replace(self, instance_id: str, **changes: object) -> None:
        fleet, instance = self._instances[instance_id]
        self._instances[instance_id] = (fleet, replace(instance, **changes))  # type: ignore[arg-type]  # fields of Instance

    def _answer(self) -> None:
        if self.is_away:
            raise CloudError("the cloud does not answer")


class MemoryFleetBook:
    """A `fleet.book.FleetBook` in memory."""

    def __init__(self) -> None:
        self._wanted: dict[str, int] = {}
        self._launches: dict[str, int] = {}

    async def wanted(self, fleet: str) -> int | None:
        return self._wanted.get(fleet)

    async def want(self, fleet: str, size: int) -> None:
        self._wanted[fleet] = size

    async def last_launch(self, fleet: str) -> int:
        return self._launches.get(fleet, 0)

    async def begin_launch(self, fleet: str, at: float) -> int:
        self._launches[fleet] = max(self._launches.get(fleet, 0), int(at)) + 1
        return self._launches[fleet]
