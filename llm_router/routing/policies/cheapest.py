"""`cheapest`: the lowest price that is fast enough, then the fastest.

For traffic that is paid by the token. A connection predicted to miss the target makes callers wait,
so price counts only among connections that meet it. A connection without a price of its own has
the list price of its model; without a list price it is free, like a machine that you own.
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
"""Prompt tokens for each completion token: the blend in which models are commonly compared. In a
voice call the prompt, with the whole conversation, outweighs the reply."""


class Cheapest:
    def rank(self, candidate: CandidateView, context: RankContext) -> Rank:
        connection = candidate.connection
        predicted = candidate.predicted(context.size) or 0.0
        if predicted > context.target:
            return True, predicted
        price = price_of(connection)
        blended = _PROMPT_TOKENS * price.input + price.output if price else 0.0
        return False, blended, connection.priority, predicted

    def choose(self, ranked: RankedCandidates[C], context: RoutingContext) -> list[C]:  # noqa: ARG002  a price is the same for every turn
        return ranked.ordered()


def create() -> Policy:
    return Cheapest()
