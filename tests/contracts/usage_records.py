"""Shared by the tests of the usage log: attempts of many kinds, and their expected figures."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, get_args

from llm_router.routing.attempt import Role
from llm_router.store.usage import UsageRecord
from llm_router.store.usage_figures import Figures

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
LASTS = timedelta(days=9)
NAMES = {"1": "cellar", "2": "cloud", "3": "spare"}


def attempt(**facts: Any) -> UsageRecord:
    known: dict[str, Any] = {
        "at": MONDAY,
        "connection_id": "1",
        "connection_name": "cellar",
        "reply_id": "r",
    }
    return UsageRecord(**known | {"role": "first", "outcome": "won", "duration": 1.0} | facts)


def attempts(number: int = 400, seed: int = 7) -> list[UsageRecord]:
    """Makes attempts of three connections over nine days, in no order."""
    rng = Random(seed)
    return [_drawn(rng, place) for place in range(number)]


def _drawn(rng: Random, place: int) -> UsageRecord:
    connection_id = rng.choice([*NAMES])
    outcome = rng.choice(["won", "won", "won", "lost", "cancelled", "silent", "unreachable"])
    spoke = outcome in {"won", "cancelled"}
    ttft = rng.choice([0.12, 0.25, 0.5, 1.9]) if spoke else None
    return attempt(
        at=MONDAY + rng.random() * LASTS,
        connection_id=connection_id,
        connection_name=NAMES[connection_id],
        reply_id=str(place),
        model=f"model-{connection_id}",
        pool=rng.choice(["default", "night"]),
        integration=rng.choice(["livekit", "mcp"]),
        role=rng.choice(["first", *get_args(Role)]),
        outcome=outcome,
        delivered=spoke and rng.random() < 0.9,
        ttft=ttft,
        ttfc=ttft and 2 * ttft,
        silence_avoided=rng.choice([None, 0.5, 3.25]),
        tokens_in=rng.randrange(1000),
        tokens_out=rng.randrange(100),
        tokens_cached=rng.randrange(50),
        is_estimated=rng.random() < 0.2,
        cost=rng.choice([None, 0.25, 0.125]),  # their sums are exact in any order
        assistant=rng.choice(["desk", ""]),
    )


def counted(some: Sequence[UsageRecord]) -> Figures:
    """Computes the figures of the attempts, without quantiles, in the plainest way."""
    roles = Counter(one.role for one in some)
    hedges_won = sum(one.role == "hedge" and one.delivered for one in some)
    ended_well = {"won", "lost", "cancelled"}
    return Figures(
        requests=roles["first"],
        attempts=len(some),
        outcomes=dict(sorted(Counter(one.outcome for one in some).items())),
        failed=sum(one.outcome not in ended_well for one in some),
        failovers=roles["failover"],
        retries=roles["retry"],
        resumes=roles["resume"],
        hedges_won=hedges_won,
        hedges_lost=roles["hedge"] - hedges_won,
        silence_avoided=sum(one.silence_avoided or 0.0 for one in some),
        tokens_in=sum(one.tokens_in for one in some),
        tokens_out=sum(one.tokens_out for one in some),
        tokens_cached=sum(one.tokens_cached for one in some),
        estimated=sum(one.is_estimated for one in some),
        cost=sum(one.cost or 0.0 for one in some),
    )
