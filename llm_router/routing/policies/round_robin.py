"""`round_robin`: everyone in turn. For equal servers, and for comparing them on equal shares."""

from llm_router.routing.policies.base import (
    C,
    CandidateView,
    Policy,
    Rank,
    RankContext,
    RankedCandidates,
    RoutingContext,
)


class RoundRobin:
    def rank(self, candidate: CandidateView, aim: RankContext) -> Rank:  # noqa: ARG002  as the user listed them
        return ()

    def choose(self, standing: RankedCandidates[C], turn: RoutingContext) -> list[C]:
        ordered = standing.ordered()
        first = turn.number % len(ordered) if ordered else 0
        return ordered[first:] + ordered[:first]


def create() -> Policy:
    return RoundRobin()
