"""A candidate for policies to rank, without an endpoint behind it."""

from collections.abc import Sequence
from dataclasses import dataclass

from llm_router.connections.record import Connection


@dataclass(frozen=True)
class FakeCandidate:
    """A candidate with fixed facts. `times`: predicted time to first word by size class (s)."""

    connection: Connection
    in_flight: int = 0
    times: Sequence[float | None] = (None,) * 4

    @property
    def name(self) -> str:
        return self.connection.name

    def predicted(self, size: int) -> float | None:
        return self.times[size]
