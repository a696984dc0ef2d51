"""The management API as one FastAPI application."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from llm_router.gateway.deps import Services
from llm_router.gateway.errors import answer_with_problems
from llm_router.gateway.middleware import API_HEADERS, BodyLimit, SecurityHeaders
from llm_router.gateway.openapi import describe, problems
from llm_router.gateway.routes import backend
from llm_router.plugins import Plugins

ROUTES = Plugins("llm_router.gateway.routes", "route", attribute="router", instance_of=APIRouter)
"""Each module has `router`, an APIRouter whose paths are below /api."""
LONGEST_BODY = 2_000_000
"""Bytes: a file of some thousand connections."""

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def build_app(
    served: Services,
    *,
    headers: Mapping[str, str] = API_HEADERS,
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """The application; `served` stays open as long as it runs. `headers` go on every answer."""
    app = FastAPI(
        title="Patchbay",
        version=_version(),
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_life(served, lifespan),
        redirect_slashes=False,
    )
    app.state.services = served
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]  # FastAPI's own way
    app.add_middleware(BodyLimit, longest=LONGEST_BODY)
    app.add_middleware(SecurityHeaders, headers=headers)
    answer_with_problems(app)
    app.include_router(_routes(), prefix="/api")
    app.include_router(backend.bare)
    _add_status(app, served)
    return app


def _life(served: Services, more: Lifespan | None) -> Lifespan:
    """What goes on beside the requests ends with the application."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(served.pulls.aclose)
            stack.push_async_callback(served.loader.aclose)
            if more:
                await stack.enter_async_context(more(app))
            yield

    return life


def _routes() -> APIRouter:
    """Every route of every module; whole paths first, so that no id is taken for `export`."""
    found = [route for name in ROUTES.names() for route in ROUTES.load(name).routes]
    together = APIRouter()
    together.routes.extend(sorted(found, key=_has_a_blank))
    return together


def _has_a_blank(route: Any) -> bool:
    return isinstance(route, APIRoute) and "{" in route.path


def _add_status(app: FastAPI, served: Services) -> None:
    @app.get("/healthz", tags=["status"], operation_id="isAlive")
    async def healthz() -> dict[str, str]:
        """The process is alive."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["status"], operation_id="isReady", responses=problems(502))
    async def readyz() -> dict[str, str]:
        """Everything it needs answers: the database, and the voice server where there is one."""
        await served.store.revision()
        for check in served.ready:
            await check()
        return {"status": "ready"}


def _version() -> str:
    try:
        return version("patchbay")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0"
