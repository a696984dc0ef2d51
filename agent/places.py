"""Decides whether a visitor gets a place: calls at a time from one address, and in all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Refusal = Literal["address", "site"]
"""The limit that is reached: that of the visitor's address, or that of the whole site."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceLimits:
    """Calls at a time. 0: unlimited."""

    total: int = 0
    per_address: int = 0

    @property
    def for_one_address(self) -> int:
        """The places of one address: below the total, so that one alone cannot take them all."""
        if not self.total:
            return self.per_address
        below = max(1, self.total - 1)
        return min(self.per_address, below) if self.per_address else below


def refusal(callers: Sequence[str], caller: str, limits: PlaceLimits) -> Refusal | None:
    """Returns the limit that stands in the way of another call by `caller`, or None.

    `callers` names the address of each call under way. The address is checked first: a caller with
    too many calls must end some of them, and need not wait for others.
    """
    own = limits.for_one_address
    if own and sum(each == caller for each in callers) >= own:
        return "address"
    if limits.total and len(callers) >= limits.total:
        return "site"
    return None
