"""Does it work? One connection asked a short question, or for its models."""

from typing import Annotated

from fastapi import APIRouter, Body

from llm_router import checkup
from llm_router.connections import Status
from llm_router.gateway.deps import Asking, Served
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas import FailureShown, ModelList, TestResult, TestWanted
from llm_router.gateway.vetting import Id, opened

router = APIRouter(prefix="/connections/{connection_id}", tags=["connections"])


@router.post("/test", operation_id="testConnection", responses=problems(404))
async def try_out(
    asking: Asking,
    served: Served,
    connection_id: Id,
    wanted: Annotated[TestWanted | None, Body()] = None,
) -> TestResult:
    """Ask it one short question, with its own key.

    A server that fails is no error of this request: `ok` is false then, and `failure` says what is
    wrong and what to do. The connection's status follows from it.
    """
    wanted = wanted or TestWanted()
    connection = await opened(served, asking, connection_id, "test")
    result = await checkup.check_up(
        connection,
        wanted.prompt,
        max_tokens=wanted.max_tokens,
        identify_within=served.identify_within,
        guard=served.guard(asking),
        clock=served.clock,
    )
    failure, usage = result.failure, result.usage
    if connection.is_active:
        status: Status = "error" if failure else "active"
        await served.store.set_status(asking, connection_id, status, str(failure or ""))
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


@router.get("/models", operation_id="listModels", responses=problems(404))
async def models(asking: Asking, served: Served, connection_id: Id) -> ModelList:
    """The models that the connection's server offers, asked now, with its key."""
    connection = await opened(served, asking, connection_id, "list models")
    names, failure = await checkup.list_models(
        connection, guard=served.guard(asking), clock=served.clock
    )
    return ModelList(models=names, failure=FailureShown.of(failure))
