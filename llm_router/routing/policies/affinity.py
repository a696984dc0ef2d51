"""`affinity`: a session always at the same endpoint, where its prompt is in the cache.

For our own servers with long prompts, when several processes serve one session: each finds the same
endpoint without asking the others. Weights share the sessions out. A turn of no session has no
cache to go back to, so it goes to whoever is least busy.
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
    def rank(self, candidate: CandidateView, aim: RankContext) -> Rank:  # noqa: ARG002  load is the same for any prompt
        return load(candidate), candidate.connection.priority

    def choose(self, standing: RankedCandidates[C], turn: RoutingContext) -> list[C]:
        return by_session(standing, turn.session_id) if turn.session_id else standing.ordered()


def create() -> Policy:
    return Affinity()
