"""Decides whether a visitor gets a place: calls at a time from one address, and in all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Refusal = Literal["address", "total"]
"""The limit that is reached: that of the visitor's address, or that of all calls."""
Place = Literal["call", "queue"]
"""A line with an agent, or a place in the queue for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceLimits:
    """Calls at a time. 0: unlimited."""

    total: int = 0
    per_address: int = 0
    queue: int = 0
    """Visitors that may wait for a line. 0: none."""

    @property
    def for_one_address(self) -> int:
        """The places of one address: below the total, so that one alone cannot take them all."""
        if not self.total:
            return self.per_address
        below = max(1, self.total - 1)
        return min(self.per_address, below) if self.per_address else below


def place_for(
    caller: str,
    callers: Sequence[str],
    waiting: Sequence[str],
    limits: PlaceLimits,
    *,
    is_full: bool,
) -> Place | Refusal:
    """Returns the place of another call by `caller`, or the limit that stands in its way.

    `callers` names the address of each call under way, `waiting` that of each visitor in the queue;
    `is_full`: no worker can take a call. The address is checked first: a caller with too many calls
    must end some of them, and need not wait for others. Where visitors wait, the next one waits
    behind them.
    """
    own = limits.for_one_address
    if own and sum(each == caller for each in [*callers, *waiting]) >= own:
        return "address"
    is_free = not limits.total or len(callers) < limits.total
    if is_free and not is_full and not waiting:
        return "call"
    return "queue" if len(waiting) < limits.queue else "total"
