"""`latency`, the default: the user's order while it is fast enough, then the fastest.

Connections predicted to meet the target come first, by priority; those that do not, after them,
fastest first. A session stays where it is, since its prompt is in that server's cache, unless
another of the same priority is better by a clear margin.
"""

from collections.abc import Sequence

from llm_router.policies.base import Candidate, Policy, Turn

_MARGIN = 0.75
"""Another must be predicted below this part of the current one's time to take the session over."""
_UNKNOWN = 0.0
"""Nothing measured yet: trusted to be fast, or a new connection would never be tried."""


def _predicted(candidate: Candidate) -> float:
    return _UNKNOWN if candidate.predicted is None else candidate.predicted


class LatencyPolicy:
    def order(self, candidates: Sequence[Candidate], turn: Turn) -> list[Candidate]:
        def rank(candidate: Candidate) -> tuple[bool, float, float]:
            predicted = _predicted(candidate)
            if candidate.connection.name == turn.last:
                predicted *= _MARGIN
            late = predicted > turn.target
            return late, 0.0 if late else candidate.connection.priority, predicted

        return sorted(candidates, key=rank)


def create() -> Policy:
    return LatencyPolicy()
