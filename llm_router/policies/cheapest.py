"""`cheapest`: the lowest price that is fast enough, then the fastest.

For traffic that is paid by the token. A connection predicted to miss the target costs the caller,
so price counts only among those that meet it. A connection without a price is free.
"""

from llm_router.policies.base import Aim, C, Candidate, Policy, Rank, Standing, Turn

_PROMPT_TOKENS = 3.0
"""Tokens read for each token written: the blend in which models are commonly compared. In a voice
call the prompt, with all that was said, outweighs the reply."""


class Cheapest:
    def rank(self, candidate: Candidate, aim: Aim) -> Rank:
        connection, predicted = candidate.connection, candidate.predicted(aim.size) or 0.0
        if predicted > aim.target:
            return True, predicted
        price = _PROMPT_TOKENS * (connection.price_in or 0.0) + (connection.price_out or 0.0)
        return False, price, connection.priority, predicted

    def choose(self, standing: Standing[C], turn: Turn) -> list[C]:  # noqa: ARG002  a price is the same for all
        return standing.ordered()


def create() -> Policy:
    return Cheapest()
