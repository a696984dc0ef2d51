"""`priority`: the user's order, whatever the clock says. For when one answer is simply better."""

from llm_router.routing.policies.base import Aim, C, Candidate, Policy, Rank, Standing, Turn


class Priority:
    def rank(self, candidate: Candidate, aim: Aim) -> Rank:  # noqa: ARG002  the user's order heeds no clock
        return (candidate.connection.priority,)

    def choose(self, standing: Standing[C], turn: Turn) -> list[C]:  # noqa: ARG002  nor whose turn it is
        return standing.ordered()


def create() -> Policy:
    return Priority()
