"""`round_robin`: each endpoint in turn. For equal servers, and to compare servers fairly."""

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
    def rank(self, candidate: CandidateView, context: RankContext) -> Rank:  # noqa: ARG002  all rank the same: as the user listed them
        return ()

    def choose(self, ranked: RankedCandidates[C], context: RoutingContext) -> list[C]:
        ordered = ranked.ordered()
        first = context.turn_number % len(ordered) if ordered else 0
        return ordered[first:] + ordered[:first]


def create() -> Policy:
    return RoundRobin()
