"""Route for the usage of one connection."""

from typing import Annotated

from fastapi import APIRouter, Query

from llm_router.gateway.deps import ConnectionId, CurrentActor, Deps
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.usage import (
    AttemptRead,
    ConnectionUsageQuery,
    ConnectionUsageRead,
    groups,
)
from llm_router.store.analytics import Analytics

router = APIRouter(prefix="/connections", tags=["connections"])


@router.get("/{connection_id}/usage", operation_id="getConnectionUsage", responses=problems(404))
async def get_usage(
    actor: CurrentActor,
    deps: Deps,
    connection_id: ConnectionId,
    params: Annotated[ConnectionUsageQuery, Query()],
) -> ConnectionUsageRead:
    """Returns the usage of a connection: in all, by day or by hour, and its latest attempts."""
    connection = await deps.store.get(actor, connection_id)
    analytics = Analytics(deps.database)
    now = deps.now()
    span = params.span(now, params.bucket, connection_id)
    total = await analytics.figures(actor, span)
    spent = await analytics.spent_this_month([connection_id], now)
    latest = await analytics.latest(connection_id, params.latest)
    return ConnectionUsageRead(
        since=span.begins,
        until=span.ends,
        bucket=params.bucket,
        items=groups(await analytics.figures(actor, span, ["at"]), "at"),
        figures=total[()],
        spent_this_month=spent[connection_id],
        monthly_budget=connection.monthly_budget,
        latest=[AttemptRead.model_validate(attempt) for attempt in latest],
    )
