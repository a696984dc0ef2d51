"""Shared by the scoreboard's tests: reports, and the parts of a call's process."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from llm_router.clock import Clock
from llm_router.connections.record import Connection
from llm_router.failures import Failure, FailureClass
from llm_router.routing.breaker import BreakerRecord
from llm_router.routing.endpoint import Endpoint
from llm_router.sync.scoreboard.base import Report, Scoreboard
from llm_router.sync.scoreboard.sync import ScoreboardSync
from llm_router.testing import ScriptedProvider

NOW = 1_700_000_000.0
OPEN = BreakerRecord(True, NOW + 5.0, 1, "silent")
A = Connection(name="a", base_url="http://127.0.0.1:1/v1", model_name="m", api_key="sk-secret")
PATIENCE = 10.0
"""Seconds that a start may take in tests, however busy the machine is."""
REFUSED = Failure(FailureClass.UNREACHABLE, "refused")


def report(
    key: str = "a",
    at: float = NOW,
    weights: Mapping[int, float] | None = None,
    breaker: BreakerRecord | None = None,
) -> Report:
    return Report(key=key, name=key, at=at, weights=weights or {}, breaker=breaker)


@asynccontextmanager
async def process(
    board: Scoreboard, clock: Clock, connection: Connection = A
) -> AsyncIterator[tuple[Endpoint, ScoreboardSync]]:
    """Yields an endpoint and its sync, as the process of one call has them."""
    endpoint = Endpoint(connection, ScriptedProvider([]))
    sync = ScoreboardSync(board, lambda: [endpoint], clock, start_within=PATIENCE)
    await sync.start()
    try:
        yield endpoint, sync
    finally:
        await sync.aclose()


def fail(endpoint: Endpoint, now: float, failure: Failure = REFUSED) -> None:
    for _ in range(3):
        endpoint.breaker.failed(failure, now, endpoint.breaker.generation)
