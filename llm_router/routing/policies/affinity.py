"""`affinity`: each session always goes to the same endpoint, where its prompt is in the cache.

For your own servers with long prompts, when several processes serve one session: each process finds
the same endpoint without asking the others. Weights share the sessions out. A turn without a
session has no cache to return to, so it goes to the least busy endpoint.
"""

from llm_router.routing.policies.base import (
    C,
    CandidateView,
    Policy,
    Rank,
    RankContext,
    RankedCandidates,
    RoutingContext,
    by_session,
    load,
)


class Affinity:
    def rank(self, candidate: CandidateView, context: RankContext) -> Rank:  # noqa: ARG002  load does not depend on the prompt
        return load(candidate), candidate.connection.priority

    def choose(self, ranked: RankedCandidates[C], context: RoutingContext) -> list[C]:
        return by_session(ranked, context.session_id) if context.session_id else ranked.ordered()


def create() -> Policy:
    return Affinity()
