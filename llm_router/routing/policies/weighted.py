"""`weighted`: shares by weight; for A/B splits, and for servers of unequal size.

A session belongs to one arm for good, whoever else is up and in every process. A turn of no session
goes where chance sends it.
"""

import bisect
import itertools
from collections.abc import Sequence

from llm_router.routing.policies.base import (
    C,
    CandidateView,
    Policy,
    Rank,
    RankContext,
    RankedCandidates,
    RoutingContext,
    by_session,
)

_DRAWS = 4
"""So many are drawn: the first, and by weight too those most likely to stand in for it."""
_BELOW_ONE = 1 - 2**-53


class Weighted:
    def rank(self, candidate: CandidateView, aim: RankContext) -> Rank:  # noqa: ARG002  weights hold for any prompt
        return (-candidate.connection.weight,)

    def choose(self, standing: RankedCandidates[C], turn: RoutingContext) -> list[C]:
        if turn.session_id:
            return by_session(standing, turn.session_id)
        ordered = standing.ordered()
        sums = standing.once(
            "sums", lambda: [*itertools.accumulate(c.connection.weight for c in ordered)]
        )
        drawn = _draw(sums, turn.chance)
        first = [ordered[place] for place in drawn]
        for place in sorted(drawn, reverse=True):
            del ordered[place]
        return first + ordered


def _draw(sums: Sequence[float], chance: float) -> list[int]:
    """Different places, each as likely as its weight. `sums` holds the weights, each added to those
    before it.

    What a draw leaves of the number is as good as a new one.
    """
    drawn: dict[int, tuple[float, float]] = {}
    left = sums[-1] if sums else 0.0
    while left > 0 and len(drawn) < _DRAWS:
        point = chance * left
        for _, (begin, width) in sorted(drawn.items()):
            point += width if point >= begin else 0.0
        place = bisect.bisect(sums, point)
        if place in drawn or place == len(sums):  # all that is left is a rounding error
            break
        begin = sums[place - 1] if place else 0.0
        drawn[place] = begin, sums[place] - begin
        chance = min((point - begin) / (sums[place] - begin), _BELOW_ONE)
        left -= sums[place] - begin
    return list(drawn)


def create() -> Policy:
    return Weighted()
