"""Serves trials of assistants to those who edit them: `/api/assistants/{name}/try`."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Response
from pydantic import Field, JsonValue

from agent.text.trial import News, Trials
from llm_router.clock import SystemClock, utc_now
from llm_router.errors import RouterError
from llm_router.gateway.deps import CurrentActor, Deps, Services
from llm_router.gateway.event_stream import Events, EventStream, make_problem
from llm_router.gateway.openapi import problems
from llm_router.gateway.routes.assistants import AssistantName
from llm_router.gateway.schemas.assistants import AssistantUpdate
from llm_router.gateway.schemas.base import StrictModel
from llm_router.voice.assistant import AssistantRecord
from llm_router.voice.calls import CallItem

_LONGEST = 20_000
"""Characters of one item: as many as a visitor may type."""
_EVENTS: dict[str, Any] = {
    "description": "Server-sent events: `text` as it comes, `item` when it is whole, `end`.",
    "content": {"text/event-stream": {}},
}


class TrialItem(StrictModel):
    """Something that was said in the trial so far, as an `item` event had it."""

    role: Literal["user", "assistant", "tool"]
    text: Annotated[str, Field(max_length=_LONGEST)] = ""
    tool_calls: list[dict[str, JsonValue]] = Field(default_factory=list, max_length=20)


class TrialCreate(StrictModel):
    draft: AssistantUpdate = Field(description="Changes that are not published yet.")
    said: list[TrialItem] = Field(
        default_factory=list,
        max_length=200,
        description="The conversation so far; the last item is answered. Empty: the greeting.",
    )


def trial_router(trials: Trials) -> APIRouter:
    """Makes the route. It raises Problem (403, 422, 429, 503)."""
    router = APIRouter(prefix="/api/assistants", tags=["assistants"])

    @router.post(
        "/{assistant_name}/try",
        operation_id="tryAssistant",
        response_class=Response,
        responses={**problems(403, 422, 429, 503), 200: _EVENTS},
    )
    async def try_assistant(
        actor: CurrentActor, deps: Deps, assistant_name: AssistantName, body: TrialCreate
    ) -> Response:
        """Has an assistant answer as it would with these changes. Nothing is stored or published.

        Its tools do run, but for those that need a call. A new assistant is tried by the name that
        it is to have.
        """
        base = await assistant_in_file(deps, assistant_name)
        record = await deps.assistants.drafted(actor, base, body.draft.values())
        items = [_item(number, said) for number, said in enumerate(body.said, start=1)]
        news = _within_places(deps, actor.key_id, trials.reply(record, items, actor.key_id))
        return EventStream(_events(news), news)

    return router


async def assistant_in_file(deps: Services, name: str) -> AssistantRecord:
    """Returns the assistant of the file, or an empty one. Raises ConfigurationError."""
    records = await asyncio.to_thread(deps.assistants_in_file)
    return records.get(name) or AssistantRecord(name=name)


async def _within_places(
    deps: Services, key_id: str, news: AsyncGenerator[News, None]
) -> AsyncGenerator[News, None]:
    """Yields the news of a reply, which takes a place among those in progress."""
    with deps.reply_places.taken(key_id, 0):
        async with aclosing(news):
            async for each in news:
                yield each


async def _events(news: AsyncGenerator[News, None]) -> Events:
    try:
        async for each in news:
            if isinstance(each, str):
                yield _event("text", {"text": each})
            else:
                yield _event("item", _plain(each))
    except RouterError as error:
        yield make_problem(error)
    else:
        yield _event("end", {})


def _event(name: str, data: Mapping[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def _plain(item: CallItem) -> Mapping[str, Any]:
    calls: Sequence[Mapping[str, Any]] = item.tool_calls
    return {
        "role": item.role,
        "text": item.text,
        "tool_calls": [dict(call) for call in calls],
        "receipt": dict(item.receipt),
    }


def _item(number: int, said: TrialItem) -> CallItem:
    return CallItem(
        id=uuid4().hex,
        number=number,
        role=said.role,
        text=said.text,
        tool_calls=said.tool_calls,
        created_at=utc_now(SystemClock()),
    )
