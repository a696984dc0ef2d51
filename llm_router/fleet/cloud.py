"""Defines Cloud, the port of clouds that rent instances, and the types of its methods."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from llm_router.errors import RouterError
from llm_router.fleet.spec import FleetSpec

State = Literal["pending", "running", "gone"]
"""`gone`: it is ending or has ended, for whatever reason."""
NoticeKind = Literal["rebalance", "interruption"]
"""`rebalance`: the instance is more likely than others to be taken back. `interruption`: it is
taken back within two minutes."""


class CloudError(RouterError):
    """Raised when a cloud gave no answer, so that it is unknown whether it did what was asked.

    Ask again: a launch with the same number starts nothing twice.
    """


class LaunchRefusedError(RouterError):
    """Raised when a cloud starts no instance: no capacity, a quota, a price, a right, a mistake.

    The message has the cloud's reason. A later launch needs a new number.
    """


@dataclass(frozen=True, slots=True)
class Notice:
    """An announcement of the cloud about one instance. `until`: its end (s since 1970) if known."""

    kind: NoticeKind
    until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """An instance of a fleet. `price`: an hour, None if unknown. Times in seconds since 1970."""

    id: str
    launch: int
    """Number of the launch that made it."""
    template: str
    state: State
    launched_at: float
    address: str = ""
    """Host name or IP address in the cloud's own network, without a port."""
    public_address: str = ""
    instance_type: str = ""
    zone: str = ""
    price: float | None = None
    notice: Notice | None = None
    gone_reason: str = ""


def address_of(spec: FleetSpec, instance: Instance) -> str:
    """Returns the address by which an instance of the fleet is called; empty: it has none yet."""
    return instance.public_address if spec.address == "public" else instance.address


class Cloud(Protocol):
    """Rents instances. Every method raises CloudError where the cloud does not answer."""

    async def launch(self, spec: FleetSpec, number: int) -> None:
        """Starts one instance, tagged with the fleet and the number of this launch.

        The same number never starts a second one, whatever became of earlier calls. Raises
        LaunchRefusedError.
        """

    async def instances(self, fleet: str) -> Sequence[Instance]:
        """Returns the fleet's instances, found by their tag; those gone for a while may miss.

        One that was launched within the last minute may miss, too.
        """

    async def terminate(self, instance_id: str) -> None:
        """Ends an instance. One that has ended, or is unknown, is no error."""
