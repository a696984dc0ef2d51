"""`p2c`: two by chance, the less busy of them first.

Nearly as even as asking the least busy, but processes that know only of their own replies do not
all run to the same server (Mitzenmacher, "The power of two choices", 2001). The rest follow by how
busy they are.
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
    def rank(self, candidate: CandidateView, aim: RankContext) -> Rank:  # noqa: ARG002  load is the same for any prompt
        return (load(candidate),)

    def choose(self, standing: RankedCandidates[C], turn: RoutingContext) -> list[C]:
        ordered = standing.ordered()
        if len(ordered) <= 2:  # noqa: PLR2004  both are chosen
            return ordered
        # What is left of the number after the first choice is as good as a second number.
        first, left = divmod(turn.chance * len(ordered), 1)
        second = int(left * (len(ordered) - 1))
        if second >= first:
            second += 1
        less, more = sorted((int(first), second))
        return [ordered.pop(less), ordered.pop(more - 1), *ordered]


def create() -> Policy:
    return PowerOfTwoChoices()
