"""`cheapest`: the lowest price that is fast enough, then the fastest.

For traffic that is paid by the token. A connection predicted to miss the target costs the caller,
so price counts only among those that meet it. A connection that names no price has the one its
model has on the list; without one there either, it is free, as a machine of one's own.
"""

from llm_router.catalog.prices import price_of
from llm_router.routing.policies.base import (
    C,
    CandidateView,
    Policy,
    Rank,
    RankContext,
    RankedCandidates,
    RoutingContext,
)

_PROMPT_TOKENS = 3.0
"""Tokens read for each token written: the blend in which models are commonly compared. In a voice
call the prompt, with all that was said, outweighs the reply."""


class Cheapest:
    def rank(self, candidate: CandidateView, aim: RankContext) -> Rank:
        connection, predicted = candidate.connection, candidate.predicted(aim.size) or 0.0
        if predicted > aim.target:
            return True, predicted
        price = price_of(connection)
        blended = _PROMPT_TOKENS * price.input + price.output if price else 0.0
        return False, blended, connection.priority, predicted

    def choose(self, standing: RankedCandidates[C], turn: RoutingContext) -> list[C]:  # noqa: ARG002  a price is the same for all
        return standing.ordered()


def create() -> Policy:
    return Cheapest()
