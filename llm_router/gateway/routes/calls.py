"""Routes for calls: find, read, follow and delete them; listen to those that go on, whisper to the
agent, and take over. For admins: they are what callers say.
"""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Response

from llm_router.connections import rules
from llm_router.connections.access import Actor
from llm_router.gateway.call_stream import follow_call, follow_calls, time_of
from llm_router.gateway.deps import CurrentActor, Deps, Services
from llm_router.gateway.errors import Problem
from llm_router.gateway.event_stream import END, EventStream
from llm_router.gateway.openapi import problems
from llm_router.gateway.schemas.calls import (
    CallDetail,
    CallFiguresGroup,
    CallFiguresQuery,
    CallFiguresRead,
    CallItemRead,
    CallPage,
    CallQuery,
    CallRead,
    ItemQuery,
    ListenRequest,
    SeatRead,
    WhisperRequest,
    WorkerList,
    WorkerRead,
)
from llm_router.store.call_figures import CallFigures, call_figures
from llm_router.store.workers import Workers
from llm_router.voice.supervision import CallSupervisor

router = APIRouter(prefix="/calls", tags=["calls"])

_SEEN_WITHIN = timedelta(seconds=60)
"""A worker that has not reported for longer is not listed."""

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


@router.get("/figures", operation_id="getCallFigures")
async def get_figures(
    reader: Reader,  # noqa: ARG001  its right is checked
    deps: Deps,
    query: Annotated[CallFiguresQuery, Query()],
) -> CallFiguresRead:
    """Counts the stored calls and how they ended: in all, over time, and by assistant."""
    span = query.span(deps.now())
    total, over_time, assistants = await call_figures(
        deps.database, span, (), ["at"], ["assistant"], kind=query.kind
    )
    return CallFiguresRead(
        since=span.begins,
        until=span.ends,
        bucket=query.bucket,
        figures=total.get((), CallFigures()),
        items=[CallFiguresGroup(at=at, figures=found) for (at,), found in over_time.items()],
        assistants=[
            CallFiguresGroup(assistant=name, figures=found) for (name,), found in assistants.items()
        ],
    )


@router.get("/workers", operation_id="listWorkers")
async def list_workers(
    reader: Reader,  # noqa: ARG001  its right is checked
    deps: Deps,
) -> WorkerList:
    """Lists the workers that take calls, and how busy each is."""
    found = await Workers(deps.database).all(deps.now() - _SEEN_WITHIN)
    return WorkerList(items=[WorkerRead.of(worker) for worker in found])


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


# ── Supervisors ──────────────────────────────────────────────────────────────────────────────────

_SUPERVISION = problems(404, 409, 502, 503)


async def get_supervisor(deps: Deps) -> CallSupervisor:
    """Returns the supervisor of calls. Raises Problem (503) in a process that has none."""
    if deps.supervisor is None:
        raise Problem(
            503,
            "no-voice-server",
            "This process does not reach LiveKit: ask the HTTP process (`python -m agent.api`).",
        )
    return deps.supervisor


Supervisor = Annotated[CallSupervisor, Depends(get_supervisor)]


@router.post("/{call_id}/listen", operation_id="listenToCall", responses=_SUPERVISION)
async def listen(
    reader: Reader, deps: Deps, supervisor: Supervisor, call_id: CallId, body: ListenRequest
) -> SeatRead:
    """Makes a token to listen to a call for a time. The others in it do not notice."""
    seat = await supervisor.listen(await deps.calls.get(call_id), body.seconds)
    await _note(reader, deps, "listen", call_id)
    return SeatRead.of(seat)


@router.post(
    "/{call_id}/whisper", status_code=204, operation_id="whisperToAgent", responses=_SUPERVISION
)
async def whisper(
    reader: Reader, deps: Deps, supervisor: Supervisor, call_id: CallId, body: WhisperRequest
) -> None:
    """Gives the agent of a call an instruction for its next replies. No caller receives it."""
    await supervisor.whisper(await deps.calls.get(call_id), body.text)
    await _note(reader, deps, "whisper", call_id)


@router.post("/{call_id}/take-over", operation_id="takeOverCall", responses=_SUPERVISION)
async def take_over(
    reader: Reader, deps: Deps, supervisor: Supervisor, call_id: CallId
) -> SeatRead:
    """Makes a token to answer a call. The agent leaves once your sound is in the room."""
    seat = await supervisor.take_over(await deps.calls.get(call_id))
    await _note(reader, deps, "take over", call_id)
    return SeatRead.of(seat)


@router.post(
    "/{call_id}/release", status_code=204, operation_id="releaseCall", responses=_SUPERVISION
)
async def release(reader: Reader, deps: Deps, supervisor: Supervisor, call_id: CallId) -> None:
    """Has an agent answer again a call that was taken over."""
    await supervisor.release(await deps.calls.get(call_id))
    await _note(reader, deps, "release", call_id)


async def _note(reader: Actor, deps: Services, action: str, call_id: str) -> None:
    await deps.keys.note(reader.audit_entry(action, ("call", call_id), deps.now()))
