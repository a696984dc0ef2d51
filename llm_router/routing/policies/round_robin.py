"""`round_robin`: everyone in turn. For equal servers, and for comparing them on equal shares."""

from llm_router.routing.policies.base import Aim, C, Candidate, Policy, Rank, Standing, Turn


class RoundRobin:
    def rank(self, candidate: Candidate, aim: Aim) -> Rank:  # noqa: ARG002  as the user listed them
        return ()

    def choose(self, standing: Standing[C], turn: Turn) -> list[C]:
        ordered = standing.ordered()
        first = turn.number % len(ordered) if ordered else 0
        return ordered[first:] + ordered[:first]


def create() -> Policy:
    return RoundRobin()
