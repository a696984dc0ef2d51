"""Routes for monitoring: whether models answer, and the series for Prometheus."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from llm_router.connections.access import SYSTEM, Actor, can_see
from llm_router.errors import StoreError
from llm_router.gateway.deps import Deps, PresentKey, find_key
from llm_router.gateway.hosts import is_from_here
from llm_router.gateway.openapi import problems
from llm_router.gateway.rates import client_of
from llm_router.gateway.schemas.monitoring import HealthDetails, OverviewRead
from llm_router.management.overview import Overview, sum_up
from llm_router.management.server_pages import ServerPage
from llm_router.telemetry.prometheus import SelectedSeries
from llm_router.telemetry.server_series import relabel

router = APIRouter(tags=["monitoring"])

_NEEDS_NO_KEY: dict[str, Any] = {"security": [{}]}
"""Adds to the forms of a key that there may be none."""


async def get_watcher(request: Request, key: PresentKey) -> Actor | None:
    """Returns the actor of the key, or the operator for a program on this machine without one."""
    if key is not None:
        return key.actor(origin=client_of(request))
    return SYSTEM if is_from_here(request) else None


Watcher = Annotated[Actor | None, Depends(get_watcher)]


@router.get(
    "/healthz",
    operation_id="getModelHealth",
    responses=problems(401, 403, 429),
    openapi_extra=_NEEDS_NO_KEY,
)
async def get_model_health(watcher: Watcher, deps: Deps) -> OverviewRead:
    """Returns whether models answer, as programs that know one vLLM ask for it.

    It answers 200 in any case, also without a key; `details` need one, but for programs on this
    machine. With a key, only the connections count that the key may see.
    """
    try:
        pages = _seen(watcher or SYSTEM, await deps.server_pages.read())
    except StoreError:
        return _shown(
            Overview(status="unhealthy"), watcher, "the database does not answer; read the log"
        )
    return _shown(sum_up(pages), watcher)


_TEXT = {
    "description": "Prometheus's text format.",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}


@router.get(
    "/metrics",
    operation_id="getMetrics",
    response_class=Response,
    responses={200: _TEXT, **problems(401, 403, 429)},
    openapi_extra=_NEEDS_NO_KEY,
)
async def get_metrics(request: Request, watcher: Watcher, deps: Deps) -> Response:
    """Returns the series of this process, and those of the model servers, in Prometheus's format.

    Those of a server have the label `connection`. With a key, of the series with this label only
    those of connections that the key may see. Programs on this machine need no key.
    """
    if watcher is None:
        watcher = (await find_key(deps, "", client_of(request))).actor("")  # refused, and counted
    pages: Sequence[ServerPage] | None = None
    with suppress(StoreError):  # the process's own series say most when something is down
        pages = await deps.server_pages.read()
    seen = _seen(watcher, pages or ())
    sees_all = watcher.role == "admin" and watcher.pools is None
    names = None if sees_all else {page.connection.name for page in seen}
    texts = [(page.connection.name, page.text) for page in seen if page.text]
    # Many series and large pages take a while.
    series = await asyncio.to_thread(_series, SelectedSeries(deps.registry, names), texts)
    return Response(
        series,
        headers={"Cache-Control": "no-store"},
        media_type=CONTENT_TYPE_PLAIN_0_0_4,
    )


def _series(own: SelectedSeries, pages: Sequence[tuple[str, str]]) -> bytes:
    return generate_latest(own) + relabel(pages).encode()


def _seen(watcher: Actor, pages: Sequence[ServerPage]) -> Sequence[ServerPage]:
    return [page for page in pages if can_see(watcher, page.connection)]


def _shown(overview: Overview, watcher: Actor | None, error: str | None = None) -> OverviewRead:
    details = HealthDetails(models=[*overview.models], error=error) if watcher else None
    return OverviewRead(
        status=overview.status,
        gpu_available=overview.gpu_available,
        model_loaded=overview.model_loaded,
        upstream_healthy=overview.upstream_healthy,
        queue_size=overview.queue_size,
        details=details,
    )
