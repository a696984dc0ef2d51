"""`p2c`: two endpoints drawn at random, the less busy of them first.

Nearly as even as asking the least busy endpoint, but processes that know only their own replies do
not all choose the same server (Mitzenmacher, "The power of two choices", 2001). The rest follow,
the least busy first.
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


class PowerOfTwoChoices:
    def rank(self, candidate: CandidateView, context: RankContext) -> Rank:  # noqa: ARG002  load does not depend on the prompt
        return (load(candidate),)

    def choose(self, ranked: RankedCandidates[C], context: RoutingContext) -> list[C]:
        ordered = ranked.ordered()
        if len(ordered) <= 2:  # noqa: PLR2004  two: both are drawn
            return ordered
        # The rest of the number after the first choice is as random as a second number.
        first, left = divmod(context.chance * len(ordered), 1)
        second = int(left * (len(ordered) - 1))
        if second >= first:
            second += 1
        less, more = sorted((int(first), second))
        return [ordered.pop(less), ordered.pop(more - 1), *ordered]


def create() -> Policy:
    return PowerOfTwoChoices()
