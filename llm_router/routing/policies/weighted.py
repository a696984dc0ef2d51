"""`weighted`: shares by weight; for A/B splits, and for servers of unequal size.

A session belongs to one arm for good, in every process and whichever other endpoints are up. A turn
without a session goes to a random endpoint.
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
"""Endpoints drawn by weight: the first, and those most likely to stand in for it."""
_BELOW_ONE = 1 - 2**-53


class Weighted:
    def rank(self, candidate: CandidateView, context: RankContext) -> Rank:  # noqa: ARG002  weights do not depend on the prompt
        return (-candidate.connection.weight,)

    def choose(self, ranked: RankedCandidates[C], context: RoutingContext) -> list[C]:
        if context.session_id:
            return by_session(ranked, context.session_id)
        ordered = ranked.ordered()
        sums = ranked.cached(
            "sums", lambda: [*itertools.accumulate(c.connection.weight for c in ordered)]
        )
        drawn = _draw(sums, context.chance)
        first = [ordered[place] for place in drawn]
        for place in sorted(drawn, reverse=True):
            del ordered[place]
        return first + ordered


def _draw(sums: Sequence[float], chance: float) -> list[int]:
    """Draws different places, each as likely as its weight. `sums` holds the cumulative weights.

    The rest of `chance` after a draw is as random as a new number, and serves for the next draw.
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
