"""Builds the management API as one FastAPI application."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from llm_router.connections.access import Actor
from llm_router.gateway.deps import Services, authenticate
from llm_router.gateway.errors import OPENAI_PATHS, answer_with_problems, show_store_errors
from llm_router.gateway.mcp.http import McpEndpoint
from llm_router.gateway.middleware import (
    API_HEADERS,
    BodyLimit,
    PathCheck,
    RequestLimit,
    SecurityHeaders,
)
from llm_router.gateway.openapi import describe, problems
from llm_router.gateway.routes import backend
from llm_router.gateway.tracing import RequestSpans
from llm_router.plugins import Plugins
from llm_router.store.api_keys import ApiKey
from llm_router.version import __version__

ROUTES = Plugins("llm_router.gateway.routes", "route", attribute="router", instance_of=APIRouter)
"""Each module has `router`, an APIRouter. Its paths are below /api, but for those of AT_ROOT."""
AT_ROOT = (OPENAI_PATHS, "/metrics")
"""The beginnings of paths at the root: those of OpenAI's API, and where Prometheus asks."""
MOST_REQUESTS = 100
"""Requests of one client that may be in progress: an office has many people behind one address."""

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def build_app(
    services: Services,
    *,
    headers: Mapping[str, str] = API_HEADERS,
    lifespan: Lifespan | None = None,
    manages: bool = True,
    has_mcp: bool = True,
) -> FastAPI:
    """Builds the application; its lifespan closes `services`. `headers` go on every answer.

    Without `manages` it has /v1 alone, and what says how the process is.
    `has_mcp`: whether it serves MCP at /mcp.
    """
    mcp = McpEndpoint(services) if has_mcp else None
    app = FastAPI(
        title="Patchbay",
        version=__version__,
        openapi_url="/api/openapi.json" if manages else None,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(services, lifespan, mcp),
        redirect_slashes=False,
    )
    app.state.services = services
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]  # FastAPI's own way
    app.add_middleware(BodyLimit)
    app.add_middleware(PathCheck)
    app.add_middleware(RequestLimit, most=MOST_REQUESTS)
    app.add_middleware(SecurityHeaders, headers=headers)
    if services.tracer:
        app.add_middleware(RequestSpans, tracer=services.tracer)
    answer_with_problems(app)
    routes = _routes()
    if manages:
        app.include_router(_together(r for r in routes if not is_at_root(r)), prefix="/api")
        app.include_router(backend.bare)
    app.include_router(_together(filter(is_at_root, routes)))
    _add_status(app, services)
    if mcp:
        mcp.add_to(app)
    return app


def build_local_app(services: Services, operator: Actor) -> FastAPI:
    """Builds the application for the operator of this machine, who needs no API key.

    Unlike a caller over HTTP, the operator may see which database failed.
    """
    app = build_app(services, has_mcp=False)
    key = ApiKey(
        id="",
        name=operator.name,
        last4="",
        role=operator.role,
        created_by=operator.name,
        created_at=services.now(),
    )
    app.dependency_overrides[authenticate] = lambda: key
    show_store_errors(app)
    return app


def _lifespan(services: Services, inner: Lifespan | None, mcp: McpEndpoint | None) -> Lifespan:
    """Returns the lifespan that runs `inner` and `mcp`, and closes the services after them."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(services.aclose)
            if inner:
                await stack.enter_async_context(inner(app))
            if mcp:
                await stack.enter_async_context(mcp.running())
            yield

    return lifespan


def _routes() -> list[BaseRoute]:
    """Returns every route of every module; fixed paths first, so that `export` is not an id."""
    found = [route for name in ROUTES.names() for route in ROUTES.load(name).routes]
    return sorted(found, key=_has_parameter)


def is_at_root(route: BaseRoute) -> bool:
    """Returns whether a module's route is at the root, where the programs that ask it expect it."""
    return isinstance(route, APIRoute) and route.path.startswith(AT_ROOT)


def _together(routes: Iterable[BaseRoute]) -> APIRouter:
    together = APIRouter()
    together.routes.extend(routes)
    return together


def _has_parameter(route: Any) -> bool:
    return isinstance(route, APIRoute) and "{" in route.path


def _add_status(app: FastAPI, services: Services) -> None:
    @app.get("/healthz", tags=["status"], operation_id="getLiveness")
    async def healthz() -> dict[str, str]:
        """Answer as long as the process is alive."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["status"], operation_id="getReadiness", responses=problems(502))
    async def readyz() -> dict[str, str]:
        """Answer if all that the process needs works: the database, and the voice server if any."""
        await services.store.revision()
        for check in services.readiness_checks:
            await check()
        return {"status": "ready"}
