"""One connection asked: whether it works, for its models, or for a text."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from fastapi.responses import StreamingResponse

from llm_router.connections.access import Actor
from llm_router.connections.record import Connection
from llm_router.connections.store import OK, Check
from llm_router.gateway.deps import Asking, ConnectionId, Served, Services
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.connections import FailureShown, ModelList, TestResult, TestWanted
from llm_router.gateway.schemas.texts import GeneratedText, GenerateWanted
from llm_router.management import generate as generation
from llm_router.management import probe as checkup
from llm_router.management.generate import open_alone

router = APIRouter(prefix="/connections/{connection_id}", tags=["connections"])

NDJSON = "application/x-ndjson"
_ALOUD: dict[str, Any] = {
    "schema": {
        "type": "string",
        "description": 'One JSON object a line: `{"text": "..."}` for each piece, as it comes; at'
        ' the end `{"result": {...}}`, as above.',
    }
}


@router.post(
    "/test",
    operation_id="testConnection",
    response_model=TestResult,
    responses={**problems(404, 500), 200: {"content": {NDJSON: _ALOUD}}},
)
async def try_out(
    request: Request,
    asking: Asking,
    served: Served,
    connection_id: ConnectionId,
    wanted: Annotated[TestWanted | None, Body()] = None,
) -> TestResult | StreamingResponse:
    """Ask it one short question, with its own key.

    A server that fails is no error of this request: `ok` is false then, and `failure` says what is
    wrong and what to do. The connection's status follows from it. With `Accept:
    application/x-ndjson` the words come as they are said, and the result after them.
    """
    connection, _ = await served.opener.open(asking, connection_id, "test")

    async def ask(heard: Callable[[str], object]) -> TestResult:
        return await _asked(served, asking, connection, wanted or TestWanted(), heard)

    if NDJSON not in request.headers.get("accept", ""):
        return await ask(lambda _: None)
    lines = _aloud(ask)
    first = await anext(lines)  # what is refused is refused before an answer has begun
    return StreamingResponse(_after(first, lines), media_type=NDJSON)


async def _asked(
    served: Services,
    actor: Actor,
    connection: Connection,
    wanted: TestWanted,
    heard: Callable[[str], object],
) -> TestResult:
    begun = served.now()
    result = await checkup.check_up(
        connection,
        wanted.prompt,
        max_tokens=wanted.max_tokens,
        identify_within=served.identify_within,
        guard=served.guard(actor),
        clock=served.clock,
        heard=heard,
    )
    failure, usage = result.failure, result.usage
    check = Check(
        at=begun,
        kind="test",
        outcome=failure.kind if failure else OK,
        latency=None if failure else result.latency,
        detail=str(failure or ""),
    )
    await served.store.record_check(actor, connection.id, check, served.health)
    return TestResult(
        ok=failure is None,
        latency=result.latency,
        first_word=result.first_word,
        text=result.text,
        tokens_in=usage.prompt_tokens if usage else None,
        tokens_out=usage.completion_tokens if usage else None,
        models=result.models,
        server=result.seen.server if result.seen else None,
        notice=result.notice(connection),
        failure=FailureShown.of(failure),
    )


async def _aloud(
    ask: Callable[[Callable[[str], object]], Coroutine[None, None, TestResult]],
) -> AsyncGenerator[str, None]:
    """One line for each piece of text, and one for the result."""
    said: asyncio.Queue[str | None] = asyncio.Queue()  # bounded by what a test reads at most
    asked = asyncio.create_task(ask(said.put_nowait))
    asked.add_done_callback(lambda _: said.put_nowait(None))
    try:
        while (text := await said.get()) is not None:
            yield json.dumps({"text": text}) + "\n"
        result = await asked
        yield json.dumps({"result": result.model_dump(mode="json")}) + "\n"
    finally:
        asked.cancel()
        await asyncio.wait([asked])


async def _after(first: str, lines: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    async with aclosing(lines):
        yield first
        async for line in lines:
            yield line


@router.post("/generate", operation_id="generateText", responses=problems(404, 409, 500, 502))
async def generate(
    asking: Asking, served: Served, connection_id: ConnectionId, wanted: GenerateWanted
) -> GeneratedText:
    """Have a text written by this one connection, with its own key, for a script or an automation.

    It must be flagged `use_in_automation`. What it uses counts against its limits and its budget.
    """
    connection, guard = await served.opener.open(
        asking, connection_id, "generate", action="use", integration="automation"
    )
    database, clock = served.database, served.clock
    async with open_alone(connection, database, guard=guard, clock=clock) as router:
        said = await generation.generate(router, wanted.request())
    return GeneratedText(**asdict(said))


@router.get("/models", operation_id="listModels", responses=problems(404, 500))
async def models(asking: Asking, served: Served, connection_id: ConnectionId) -> ModelList:
    """The models that the connection's server offers, asked now, with its key."""
    connection, guard = await served.opener.open(asking, connection_id, "list models")
    names, failure = await checkup.list_models(connection, guard=guard, clock=served.clock)
    return ModelList(models=names, failure=FailureShown.of(failure))
