"""`latency`, the default: the user's order while it is fast enough, then the fastest.

Connections predicted to meet the target come first, by priority; the others follow, fastest first.
A session stays where it is, since its prompt is in that server's cache, unless another connection
of the same priority is faster by a clear margin.
"""

from llm_router.routing.policies.base import (
    C,
    CandidateView,
    Policy,
    Rank,
    RankContext,
    RankedCandidates,
    RoutingContext,
)

_MARGIN = 0.75
"""Share of the current connection's time below which another one takes the session over."""
_UNKNOWN = 0.0
"""Assumed seconds where nothing was measured: fast, or a new connection would never be tried."""


class LatencyPolicy:
    def rank(self, candidate: CandidateView, context: RankContext) -> Rank:
        return _rank(candidate, candidate.predicted(context.size) or _UNKNOWN, context)

    def choose(self, ranked: RankedCandidates[C], context: RoutingContext) -> list[C]:
        stays = ranked.find(context.last_connection)
        if stays is None:
            return ranked.ordered()
        predicted = (stays.predicted(context.rank_context.size) or _UNKNOWN) * _MARGIN
        return ranked.ordered_with(stays, _rank(stays, predicted, context.rank_context))


def _rank(candidate: CandidateView, predicted: float, context: RankContext) -> Rank:
    late = predicted > context.target
    return late, 0.0 if late else candidate.connection.priority, predicted


def create() -> Policy:
    return LatencyPolicy()
