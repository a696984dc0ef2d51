"""Routes for the usage of all connections: in all, over time, and compared."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from llm_router.gateway.deps import CurrentActor, Deps
from llm_router.gateway.schemas.usage import (
    AnalyticsQuery,
    AnalyticsSeriesQuery,
    UsageByConnection,
    UsageByConnectionQuery,
    UsageGroup,
    UsageSummary,
    UsageTimeseries,
    groups,
)
from llm_router.store.analytics import Analytics, GroupBy, counts_assistants

router = APIRouter(prefix="/analytics", tags=["analytics"])


@router.get("/summary", operation_id="getUsageSummary")
async def get_summary(
    actor: CurrentActor, deps: Deps, params: Annotated[AnalyticsQuery, Query()]
) -> UsageSummary:
    """Sums up all attempts on the connections you may see; also by pool, by integration and by
    assistant.
    """
    span = params.chosen(deps.now())
    groupings: list[Sequence[GroupBy]] = [(), ["pool"], ["integration"]]
    if counts_assistants(actor, span):
        groupings.append(["assistant"])
    found = await Analytics(deps.database).groupings(actor, span, *groupings)
    total, pools, integrations = found[:3]
    return UsageSummary(
        since=span.begins,
        until=span.ends,
        figures=total[()],
        pools=groups(pools, "pool"),
        integrations=groups(integrations, "integration"),
        assistants=[one for by in found[3:] for one in groups(by, "assistant")],
    )


@router.get("/timeseries", operation_id="getUsageTimeseries")
async def get_timeseries(
    actor: CurrentActor, deps: Deps, params: Annotated[AnalyticsSeriesQuery, Query()]
) -> UsageTimeseries:
    """Sums up the attempts by hour or by day."""
    span = params.chosen(deps.now(), params.bucket)
    found = await Analytics(deps.database).figures(actor, span, ["at"])
    return UsageTimeseries(
        since=span.begins, until=span.ends, bucket=params.bucket, items=groups(found, "at")
    )


@router.get("/connections", operation_id="compareConnections")
async def compare_connections(
    actor: CurrentActor, deps: Deps, params: Annotated[UsageByConnectionQuery, Query()]
) -> UsageByConnection:
    """Sums up the attempts by connection: how fast it is, how often it fails, what it costs."""
    analytics = Analytics(deps.database)
    span = params.span(deps.now())
    ids, total = await analytics.leading(actor, span, params.order, params.limit, params.offset)
    found = await analytics.figures(actor, span, ["connection_id"], among=ids)
    names = await analytics.names(ids)
    items = [
        UsageGroup(connection_id=one, name=names.get(one), figures=found[(one,)])
        for one in ids
        if (one,) in found
    ]
    return UsageByConnection(
        since=span.begins,
        until=span.ends,
        items=items,
        total=total,
        limit=params.limit,
        offset=params.offset,
    )
