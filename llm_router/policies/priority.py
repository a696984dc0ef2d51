"""`priority`: the user's order, whatever the clock says. For when one answer is simply better."""

from collections.abc import Sequence

from llm_router.policies.base import Candidate, Policy, Turn


class Priority:
    def order(self, candidates: Sequence[Candidate], turn: Turn) -> list[Candidate]:  # noqa: ARG002  the user's order heeds no turn
        return sorted(candidates, key=lambda c: c.connection.priority)


def create() -> Policy:
    return Priority()
