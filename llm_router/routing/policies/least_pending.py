"""`least_pending`: the one with the fewest replies in flight for its weight.

For servers of our own, whose queue is the thing to avoid. Weights stand for capacity, as in the
weighted least connections of the Linux Virtual Server: of two idle servers the larger goes first.
"""

from llm_router.routing.policies.base import (
    C,
    CandidateView,
    Policy,
    Rank,
    RankContext,
    RankedCandidates,
    RoutingContext,
    load,
)


class LeastPending:
    def rank(self, candidate: CandidateView, aim: RankContext) -> Rank:  # noqa: ARG002  load is the same for any prompt
        return load(candidate), candidate.connection.priority

    def choose(self, standing: RankedCandidates[C], turn: RoutingContext) -> list[C]:  # noqa: ARG002  and for all sessions
        return standing.ordered()


def create() -> Policy:
    return LeastPending()
