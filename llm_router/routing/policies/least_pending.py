"""`least_pending`: the endpoint with the fewest replies in flight for its weight.

For your own servers, whose queue is the thing to avoid. Weights stand for capacity, as in the
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
    def rank(self, candidate: CandidateView, context: RankContext) -> Rank:  # noqa: ARG002  load does not depend on the prompt
        return load(candidate), candidate.connection.priority

    def choose(self, ranked: RankedCandidates[C], context: RoutingContext) -> list[C]:  # noqa: ARG002  nor on the session
        return ranked.ordered()


def create() -> Policy:
    return LeastPending()
