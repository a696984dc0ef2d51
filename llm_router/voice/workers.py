"""Defines what a worker of calls reports about itself. No I/O."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLoad:
    """How busy a worker is.

    `load` is from 0 to 1; at `limit` it is sent no call (0: it has no limit). `ready`: processes
    that wait for a call.
    """

    calls: int = 0
    load: float = 0.0
    limit: float = 0.0
    ready: int = 0

    @property
    def has_place(self) -> bool:
        return self.load < (self.limit or 1.0)

    @property
    def places(self) -> int | None:
        """About how many more calls it can take, if each loads it like those that it has; None
        while it has none.
        """
        if not self.has_place:
            return 0
        if not self.calls or not self.load:
            return None
        return int(((self.limit or 1.0) - self.load) / (self.load / self.calls))


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """One worker, as it was when it reported last. `takes_calls`: its call processes come up."""

    name: str
    agent_name: str
    takes_calls: bool
    load: WorkerLoad
    started_at: datetime
    seen_at: datetime
