"""What one connection did and cost."""

from typing import Annotated

from fastapi import APIRouter, Query

from llm_router.gateway.deps import Asking, ConnectionId, Served
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.usage import ConnectionUsage, UsageWanted, groups, shown
from llm_router.store.analytics import Analytics

router = APIRouter(prefix="/connections", tags=["connections"])


@router.get("/{connection_id}/usage", operation_id="getConnectionUsage", responses=problems(404))
async def usage(
    asking: Asking,
    served: Served,
    connection_id: ConnectionId,
    wanted: Annotated[UsageWanted, Query()],
) -> ConnectionUsage:
    """What it was used for: in all, day by day or hour by hour, and attempt by attempt."""
    connection = await served.store.get(asking, connection_id)
    analytics, now = Analytics(served.database), served.now()
    span = wanted.span(now, wanted.bucket, connection_id)
    together = await analytics.figures(asking, span)
    spent = await analytics.spent_this_month([connection_id], now)
    return ConnectionUsage(
        since=span.begins,
        until=span.ends,
        bucket=wanted.bucket,
        items=groups(await analytics.figures(asking, span, ["at"]), "at"),
        figures=together[()],
        spent_this_month=spent[connection_id],
        monthly_budget=connection.monthly_budget,
        latest=shown(await analytics.latest(connection_id, wanted.latest)),
    )
