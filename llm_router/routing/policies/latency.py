"""`latency`, the default: the user's order while it is fast enough, then the fastest.

Connections predicted to meet the target come first, by priority; those that do not, after them,
fastest first. A session stays where it is, since its prompt is in that server's cache, unless
another of the same priority is better by a clear margin.
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
"""Another must be predicted below this part of the current one's time to take the session over."""
_UNKNOWN = 0.0
"""Nothing measured yet: trusted to be fast, or a new connection would never be tried."""


class LatencyPolicy:
    def rank(self, candidate: CandidateView, aim: RankContext) -> Rank:
        return _rank(candidate, candidate.predicted(aim.size) or _UNKNOWN, aim)

    def choose(self, standing: RankedCandidates[C], turn: RoutingContext) -> list[C]:
        stays = standing.find(turn.last)
        if stays is None:
            return standing.ordered()
        predicted = (stays.predicted(turn.aim.size) or _UNKNOWN) * _MARGIN
        return standing.ordered_with(stays, _rank(stays, predicted, turn.aim))


def _rank(candidate: CandidateView, predicted: float, aim: RankContext) -> Rank:
    late = predicted > aim.target
    return late, 0.0 if late else candidate.connection.priority, predicted


def create() -> Policy:
    return LatencyPolicy()
