"""Sends the news of a conversation in writing as server-sent events that can be resumed.

The id of an event is the reader's place after it: one who comes back with `Last-Event-ID` gets the
rest, whichever process answers.
"""

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from agent.text.news import VISITORS, End, Item, News, Place, Quiet, Words
from llm_router.errors import RouterError
from llm_router.gateway.event_stream import Events, EventStream, make_event, make_problem
from llm_router.voice.calls import CallItem


def event_stream(news: AsyncGenerator[News, None]) -> EventStream:
    """Returns the news as events: `text` as words come, `item` when they are whole, and `end`.

    A client that leaves ends this answer, not the reply.
    """
    return EventStream(_events(news), news)


async def _events(all_news: AsyncGenerator[News, None]) -> Events:
    try:
        async for news in all_news:
            match news:
                case Words(place, text):
                    yield _event(place, "text", {"text": text})
                case Item(item) if item.role != "tool":
                    yield _event(news.place, "item", _plain(item))
                case End(state):
                    yield f"event: end\ndata: {json.dumps({'state': state})}\n\n"
                case Quiet():
                    yield ": \n\n"
    except RouterError as error:
        yield make_problem(error)


def _event(place: Place, name: str, data: Mapping[str, Any]) -> str:
    return make_event(str(place), name, json.dumps(data))


def _plain(item: CallItem) -> Mapping[str, Any]:
    return {
        "number": item.number,
        "id": item.id.removeprefix(VISITORS),
        "role": item.role,
        "text": item.text,
        "interrupted": item.interrupted_at is not None,
        "created_at": item.created_at.isoformat(),
    }
