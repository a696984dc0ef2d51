"""Routes for the usage of all connections: in all, over time, and compared."""

from typing import Annotated

from fastapi import APIRouter, Query

from llm_router.gateway.deps import CurrentActor, Deps
from llm_router.gateway.schemas.usage import (
    UsageByConnection,
    UsageQuery,
    UsageSummary,
    UsageTimeseries,
    UsageTimeseriesQuery,
    groups,
)
from llm_router.store.analytics import Analytics

router = APIRouter(prefix="/analytics", tags=["analytics"])


@router.get("/summary", operation_id="getUsageSummary")
async def get_summary(
    actor: CurrentActor, deps: Deps, params: Annotated[UsageQuery, Query()]
) -> UsageSummary:
    """Sums up all attempts on the connections you may see; also by pool and by integration."""
    analytics = Analytics(deps.database)
    span = params.span(deps.now())
    total = await analytics.figures(actor, span)
    return UsageSummary(
        since=span.begins,
        until=span.ends,
        figures=total[()],
        pools=groups(await analytics.figures(actor, span, ["pool"]), "pool"),
        integrations=groups(await analytics.figures(actor, span, ["integration"]), "integration"),
    )


@router.get("/timeseries", operation_id="getUsageTimeseries")
async def get_timeseries(
    actor: CurrentActor, deps: Deps, params: Annotated[UsageTimeseriesQuery, Query()]
) -> UsageTimeseries:
    """Sums up the attempts by hour or by day."""
    span = params.span(deps.now(), params.bucket)
    found = await Analytics(deps.database).figures(actor, span, ["at"])
    return UsageTimeseries(
        since=span.begins, until=span.ends, bucket=params.bucket, items=groups(found, "at")
    )


@router.get("/connections", operation_id="compareConnections")
async def compare_connections(
    actor: CurrentActor, deps: Deps, params: Annotated[UsageQuery, Query()]
) -> UsageByConnection:
    """Sums up the attempts by connection: how fast it is, how often it fails, what it costs."""
    analytics = Analytics(deps.database)
    span = params.span(deps.now())
    items = groups(await analytics.figures(actor, span, ["connection_id"]), "connection_id")
    names = await analytics.names([item.connection_id or "" for item in items])
    for item in items:
        item.name = names.get(item.connection_id or "")
    items.sort(key=lambda item: -item.figures.attempts)
    return UsageByConnection(since=span.begins, until=span.ends, items=items)
