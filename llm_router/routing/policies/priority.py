"""`priority`: the user's order, however slow. For when one model's answers are simply better."""

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
    def rank(self, candidate: CandidateView, context: RankContext) -> Rank:  # noqa: ARG002  the user's order is the same for any prompt
        return (candidate.connection.priority,)

    def choose(self, ranked: RankedCandidates[C], context: RoutingContext) -> list[C]:  # noqa: ARG002  and for any session
        return ranked.ordered()


def create() -> Policy:
    return Priority()
