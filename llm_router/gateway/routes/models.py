"""The models that a connection's server keeps: fetched, and thrown away. Ollama keeps them so."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path

from llm_router.connections.record import Connection
from llm_router.errors import (
    AddressRefusedError,
    ConfigurationError,
    NotFoundError,
    StatusError,
    UpstreamError,
)
from llm_router.failures import classify
from llm_router.gateway.deps import Asking, Served
from llm_router.gateway.errors import Problem
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.connections import MODEL_NAME, PullList, PullShown, PullWanted
from llm_router.management.model_pulls import Pull
from llm_router.management.probe import open_provider
from llm_router.management.vetting import Id, opened
from llm_router.providers.base import ModelManager, Provider, PullProgress

router = APIRouter(prefix="/connections/{connection_id}/models", tags=["connections"])

_NOT_FOUND = 404
Name = Annotated[
    str,
    Path(description="As the server lists it.", max_length=300, pattern=MODEL_NAME,
         examples=["qwen3:4b"]),
]  # fmt: skip


@router.post(
    "/pull",
    status_code=202,
    response_model=PullShown,
    operation_id="pullModel",
    responses=problems(404, 500),
)
async def pull(
    asking: Asking,
    served: Served,
    connection_id: Id,
    wanted: Annotated[PullWanted | None, Body()] = None,
) -> Mapping[str, Any]:
    """Have the connection's server fetch a model, in the background; its own unless named.

    One that is being fetched already is not begun again. `GET` tells how far it is.
    """
    connection = await opened(served, asking, connection_id, "pull model", "edit")
    model = (wanted and wanted.model) or connection.model_name
    if not model:
        raise ConfigurationError(f"connection {connection.name!r}: name a model to pull")
    provider = await open_provider(connection, served.clock, served.guard(asking))
    if under_way := served.pulls.under_way(connection_id, model):
        await provider.aclose()
        return _shown(under_way)
    try:
        steps = _steps(provider, _model_manager(provider, connection).pull(model))
        begun = await served.pulls.start(connection_id, model, steps, served.now)
    except BaseException:
        await provider.aclose()
        raise
    return _shown(begun)


@router.get("/pull", response_model=PullList, operation_id="listPulls", responses=problems(404))
async def pulls(asking: Asking, served: Served, connection_id: Id) -> Mapping[str, Any]:
    """How far the models are that this HTTP process has had fetched, the latest first."""
    await served.store.get(asking, connection_id)
    return {"items": [_shown(pull) for pull in served.pulls.of(connection_id)]}


@router.delete(
    "/{name:path}", status_code=204, operation_id="deleteModel", responses=problems(404, 500, 502)
)
async def delete(asking: Asking, served: Served, connection_id: Id, name: Name) -> None:
    """Have the connection's server throw a model away, for all who use it there; one that is being
    fetched is fetched no further.
    """
    connection = await opened(served, asking, connection_id, "delete model", "edit")
    provider = await open_provider(connection, served.clock, served.guard(asking))
    try:
        manager = _model_manager(provider, connection)
        was_stopped = await served.pulls.stop(connection_id, name)
        await manager.delete(name)
    except AddressRefusedError:
        raise
    except UpstreamError as error:
        if not (isinstance(error, StatusError) and error.status == _NOT_FOUND):
            raise Problem(502, "The model server did not do it", str(classify(error))) from error
        if not was_stopped:
            raise NotFoundError(f"the server has no model {name!r}") from error
    finally:
        await provider.aclose()


def _model_manager(provider: Provider, connection: Connection) -> ModelManager:
    if isinstance(provider, ModelManager):
        return provider
    raise ConfigurationError(
        f"connection {connection.name!r}: its server fetches no models on request; an Ollama does,"
        ' with provider "ollama"'
    )


async def _steps(
    provider: Provider, steps: AsyncGenerator[PullProgress, None]
) -> AsyncGenerator[PullProgress, None]:
    """The same, and the provider closed behind them."""
    try:
        async with aclosing(steps):
            async for step in steps:
                yield step
    finally:
        await provider.aclose()


def _shown(pull: Pull) -> Mapping[str, Any]:
    progress = pull.progress
    return {
        "model": pull.model,
        "state": pull.state,
        "status": progress.status,
        "digest": progress.digest,
        "total": progress.total,
        "completed": progress.completed,
        "error": pull.error,
        "started_at": pull.started_at,
        "finished_at": pull.finished_at,
    }
