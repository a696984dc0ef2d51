"""What connections did and cost, all together or one beside the other."""

from typing import Annotated

from fastapi import APIRouter, Query

from llm_router.gateway.deps import Asking, Served
from llm_router.gateway.schemas.usage import (
    ByConnection,
    Series,
    SeriesWanted,
    SpanWanted,
    Summary,
    groups,
)
from llm_router.store.analytics import Analytics

router = APIRouter(prefix="/analytics", tags=["analytics"])


@router.get("/summary", operation_id="getSummary")
async def summary(
    asking: Asking, served: Served, wanted: Annotated[SpanWanted, Query()]
) -> Summary:
    """All attempts on the connections you see, and the same by pool and by integration."""
    analytics, span = Analytics(served.database), wanted.span(served.now())
    together = await analytics.figures(asking, span)
    return Summary(
        since=span.begins,
        until=span.ends,
        figures=together[()],
        pools=groups(await analytics.figures(asking, span, ["pool"]), "pool"),
        integrations=groups(await analytics.figures(asking, span, ["integration"]), "integration"),
    )


@router.get("/timeseries", operation_id="getTimeseries")
async def timeseries(
    asking: Asking, served: Served, wanted: Annotated[SeriesWanted, Query()]
) -> Series:
    """The same hour by hour, or day by day."""
    span = wanted.span(served.now(), wanted.bucket)
    found = await Analytics(served.database).figures(asking, span, ["at"])
    return Series(
        since=span.begins, until=span.ends, bucket=wanted.bucket, items=groups(found, "at")
    )


@router.get("/connections", operation_id="compareConnections")
async def connections(
    asking: Asking, served: Served, wanted: Annotated[SpanWanted, Query()]
) -> ByConnection:
    """The same for each connection: how fast it is, how often it fails, what it costs."""
    analytics, span = Analytics(served.database), wanted.span(served.now())
    items = groups(await analytics.figures(asking, span, ["connection_id"]), "connection_id")
    names = await analytics.names([item.connection_id or "" for item in items])
    for item in items:
        item.name = names.get(item.connection_id or "")
    items.sort(key=lambda item: -item.figures.attempts)
    return ByConnection(since=span.begins, until=span.ends, items=items)
