"""Routes that probe a connection: test it, and list the models of its server."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from fastapi.responses import StreamingResponse

from llm_router.connections.record import Connection
from llm_router.gateway.deps import ConnectionId, CurrentActor, Deps, require_allowance_of
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.connections import ConnectionCreate
from llm_router.gateway.schemas.probes import (
    ConnectionTestCreate,
    ConnectionTestResult,
    FailureRead,
    ModelList,
)

router = APIRouter(prefix="/connections", tags=["connections"])

NDJSON = "application/x-ndjson"
_STREAM: dict[str, Any] = {
    "schema": {
        "type": "string",
        "description": 'One JSON object a line: `{"text": "..."}` for each piece, as it arrives; at'
        ' the end `{"result": {...}}`, as above.',
    }
}


@router.post(
    "/test",
    operation_id="testNewConnection",
    responses=problems(403, 422),
)
async def probe_new_connection(
    actor: CurrentActor, deps: Deps, body: ConnectionCreate
) -> ConnectionTestResult:
    """Asks a connection that is not stored yet the usual question, as its test would.

    Nothing is stored. It needs the right to create connections.
    """
    await require_allowance_of(deps, actor)
    return ConnectionTestResult.of(await deps.editor.try_out(actor, Connection(**body.values())))


@router.post(
    "/{connection_id}/test",
    operation_id="testConnection",
    response_model=ConnectionTestResult,
    responses={**problems(404, 500), 200: {"content": {NDJSON: _STREAM}}},
)
async def probe_connection(
    request: Request,
    actor: CurrentActor,
    deps: Deps,
    connection_id: ConnectionId,
    body: Annotated[ConnectionTestCreate | None, Body()] = None,
) -> ConnectionTestResult | StreamingResponse:
    """Asks the connection one short question, with its own key.

    A server that fails is no error of this request: `ok` is false then, and `failure` says what is
    wrong and what to do. The connection's status follows from the result. With `Accept:
    application/x-ndjson` the words are sent as they arrive, and the result after them. An API key
    with limits asks the usual question alone, and none when its tokens or its budget are used up.
    """
    await require_allowance_of(deps, actor)
    question = body or ConnectionTestCreate()

    async def probe(on_text: Callable[[str], object]) -> ConnectionTestResult:
        result = await deps.prober.probe(
            actor,
            connection_id,
            question.prompt,
            max_tokens=question.max_tokens,
            on_text=on_text,
        )
        return ConnectionTestResult.of(result)

    if NDJSON not in request.headers.get("accept", ""):
        return await probe(lambda _: None)
    lines = _lines(probe)
    first = await anext(lines)  # a refusal is raised here, before an answer has begun
    return StreamingResponse(_chain(first, lines), media_type=NDJSON)


@router.get("/{connection_id}/models", operation_id="listModels", responses=problems(404, 500))
async def list_models(actor: CurrentActor, deps: Deps, connection_id: ConnectionId) -> ModelList:
    """Lists the models that the connection's server offers; it is asked now, with its key."""
    models, failure = await deps.prober.list_models(actor, connection_id)
    return ModelList(models=models, failure=FailureRead.of(failure))


async def _lines(
    probe: Callable[[Callable[[str], object]], Coroutine[None, None, ConnectionTestResult]],
) -> AsyncGenerator[str, None]:
    """Yields one line for each piece of text, and one for the result."""
    texts: asyncio.Queue[str | None] = asyncio.Queue()  # bounded by what a probe reads at most
    task = asyncio.create_task(probe(texts.put_nowait))
    task.add_done_callback(lambda _: texts.put_nowait(None))
    try:
        while (text := await texts.get()) is not None:
            yield json.dumps({"text": text}) + "\n"
        result = await task
        yield json.dumps({"result": result.model_dump(mode="json")}) + "\n"
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _chain(first: str, lines: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    async with aclosing(lines):
        yield first
        async for line in lines:
            yield line
