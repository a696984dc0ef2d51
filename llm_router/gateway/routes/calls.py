"""Routes for stored calls: find, read, follow and delete them. For admins: they are what callers
have said.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Response

from llm_router.connections import rules
from llm_router.connections.access import Actor
from llm_router.gateway.call_stream import follow_call, follow_calls, time_of
from llm_router.gateway.deps import CurrentActor, Deps
from llm_router.gateway.event_stream import END, EventStream
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.calls import (
    CallDetail,
    CallItemRead,
    CallPage,
    CallQuery,
    CallRead,
    ItemQuery,
)

router = APIRouter(prefix="/calls", tags=["calls"])

_EVENTS: dict[str, Any] = {
    "description": "Server-sent events; docs/calls.md.",
    "content": {"text/event-stream": {}},
}
CallId = Annotated[
    str,
    Path(
        description="Of the call.",
        pattern=r"^[0-9a-f-]{36}$",
        examples=["0b0ad4f2-5c0b-4a8e-9f53-0d4a3f2b7c11"],
    ),
]


async def get_reader(actor: CurrentActor) -> Actor:
    """Returns the actor. Raises ForbiddenError for one that is no admin."""
    rules.require(actor, "administer")
    return actor


Reader = Annotated[Actor, Depends(get_reader)]


@router.get("", operation_id="listCalls")
async def list_calls(
    reader: Reader,  # noqa: ARG001  its right is checked
    deps: Deps,
    query: Annotated[CallQuery, Query()],
) -> CallPage:
    """Lists calls, the latest first."""
    found, total = await deps.calls.find(query.filters, limit=query.limit, offset=query.offset)
    items = [CallRead.of(call) for call in found]
    return CallPage(items=items, total=total, limit=query.limit, offset=query.offset)


@router.get(
    "/stream", operation_id="followCalls", response_class=Response, responses={200: _EVENTS}
)
async def follow_list(
    reader: Reader,  # noqa: ARG001  its right is checked
    deps: Deps,
    last_event_id: Annotated[
        str | None, Header(description="Of the last event received.", pattern=r"^\d{1,17}$")
    ] = None,
) -> Response:
    """Sends the calls that go on, then each call that begins, changes, ends or is removed."""
    since = time_of(last_event_id) if last_event_id else None
    return EventStream(follow_calls(deps.calls, since, deps.clock, deps.longest_stream))


@router.get("/{call_id}", operation_id="getCall", responses=problems(404))
async def get_call(
    reader: Reader,  # noqa: ARG001  its right is checked
    deps: Deps,
    call_id: CallId,
    query: Annotated[ItemQuery, Query()],
) -> CallDetail:
    """Returns a call and what was said in it, with the receipt of each reply."""
    call, items = await deps.calls.read(call_id, after=query.after, limit=query.limit)
    return CallDetail(call=CallRead.of(call), items=[CallItemRead.of(item) for item in items])


@router.get(
    "/{call_id}/stream",
    operation_id="followCall",
    response_class=Response,
    responses={
        **problems(404),
        200: _EVENTS,
        204: {"description": "`Last-Event-ID` is that of the end: there is no more."},
    },
)
async def follow_one(
    reader: Reader,  # noqa: ARG001  its right is checked
    deps: Deps,
    call_id: CallId,
    last_event_id: Annotated[
        str | None,
        Header(description="Of the last event received.", pattern=r"^(\d{1,7}|end)$"),
    ] = None,
) -> Response:
    """Sends what was said after `Last-Event-ID`, or from the begin, and follows the call."""
    await deps.calls.get(call_id)
    if last_event_id == END:
        return Response(status_code=204)
    after = int(last_event_id or 0)
    return EventStream(follow_call(deps.calls, call_id, after, deps.clock, deps.longest_stream))


@router.delete("/{call_id}", status_code=204, operation_id="deleteCall", responses=problems(404))
async def delete_call(reader: Reader, deps: Deps, call_id: CallId) -> None:
    """Deletes a call with all that was said. One that goes on is not stored any more."""
    await deps.calls.remove(call_id)
    entry = reader.audit_entry("remove", ("call", call_id), deps.now())
    await deps.keys.note(entry)
