"""`priority`: the user's order, whatever the clock says. For when one answer is simply better."""

from llm_router.routing.policies.base import (
    C,
    CandidateView,
    Policy,
    Rank,
    RankContext,
    RankedCandidates,
    RoutingContext,
)


class Priority:
    def rank(self, candidate: CandidateView, aim: RankContext) -> Rank:  # noqa: ARG002  the user's order heeds no clock
        return (candidate.connection.priority,)

    def choose(self, standing: RankedCandidates[C], turn: RoutingContext) -> list[C]:  # noqa: ARG002  nor whose turn it is
        return standing.ordered()


def create() -> Policy:
    return Priority()
