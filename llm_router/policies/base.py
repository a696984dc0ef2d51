"""What the router asks of a policy.

A policy is a module in this folder with `create() -> Policy`. It is pure: it sees what is known of
each endpoint now and puts them in order. Only endpoints that may be asked are shown to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from llm_router.connections import Connection


@dataclass(frozen=True, slots=True)
class Candidate:
    """One endpoint as a policy sees it.

    `predicted` is the time to its first clause in seconds, with what is in flight; None: nothing
    was measured yet.
    """

    connection: Connection
    predicted: float | None
    in_flight: int


@dataclass(frozen=True, slots=True)
class Turn:
    """What is asked: whose session, who answered it last (a connection's name or empty), the time
    to first word that is wanted, in seconds, and how many turns this router has seen.
    """

    session_id: str
    last: str
    target: float
    number: int


class Policy(Protocol):
    def order(self, candidates: Sequence[Candidate], turn: Turn) -> list[Candidate]:
        """All candidates, best first: the first is the primary, the rest hedges and failovers."""


class CreatePolicy(Protocol):
    """The type of each policy module's `create`."""

    def __call__(self) -> Policy: ...
