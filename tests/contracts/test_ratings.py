"""Tests how visitors rate their calls, and what their pages say: the routes, and what is stored."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest

from llm_router.clock import SystemClock, utc_now
from llm_router.errors import NotFoundError
from llm_router.store.calls import CallStore
from llm_router.store.database import Database
from llm_router.store.ratings import RATING, Ratings
from llm_router.voice.calls import CallAgent, CallFacts
from tests.contracts.test_api import FakeLiveKit, application, browser, livekit, settings_for

__all__ = ["livekit"]


async def begin(calls: CallStore, room: str, **metadata: Any) -> str:
    facts = CallFacts(metadata=metadata)
    agent = CallAgent(identity="agent-1", worker="w", job=uuid4().hex)
    call = await calls.claim(room, 1, agent, utc_now(SystemClock()), facts)
    assert call
    return call.id


async def test_the_last_call_of_a_room_is_rated_and_its_other_notes_stay(
    database: Database,
) -> None:
    calls, ratings = CallStore(database), Ratings(database)
    first = await begin(calls, "web-1")
    await calls.end(first, "caller left", utc_now(SystemClock()))
    second = await begin(calls, "web-1", site="shop")
    other = await begin(calls, "web-2")
    await ratings.rate("web-1", 2)
    await ratings.rate("web-1", 4, "My card 4111 1111 1111 1111 was\0refused")
    assert RATING not in (await calls.get(first)).metadata
    assert RATING not in (await calls.get(other)).metadata
    assert (await calls.get(second)).metadata == {
        "site": "shop",
        RATING: {"stars": 4, "comment": "My card [card number] was\ufffdrefused"},
    }


async def test_what_a_page_has_said_goes_with_the_words_of_its_call(database: Database) -> None:
    calls = CallStore(database)
    call_id = await begin(calls, "web-1", site="shop", page_context={"text": "{}"})
    assert "page_context" in (await calls.get(call_id)).metadata
    await calls.end(call_id, "caller left", utc_now(SystemClock()))
    assert (await calls.get(call_id)).metadata == {"site": "shop"}


async def test_a_call_that_is_not_stored_cannot_be_rated(database: Database) -> None:
    with pytest.raises(NotFoundError):
        await Ratings(database).rate("web-1", 5)


def rating(continuation: str, stars: Any = 5, comment: str = "") -> dict[str, Any]:
    return {"continuation": continuation, "stars": stars, "comment": comment}


async def test_the_visitor_of_a_call_rates_it_and_no_other_can(livekit: FakeLiveKit) -> None:
    async with application(settings_for(livekit.url)) as app:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://patchbay.test") as me:
            continuation = (await me.post("/token")).json()["continuation"]
            path = "/api/visitor/rating"
            assert (await me.post(path, json=rating(continuation))).status_code == 404
            assert (await me.post(path, json=rating("made.up.proof"))).status_code == 403
            for wrong in (0, 6, "5", None):
                assert (await me.post(path, json=rating(continuation, wrong))).status_code == 422
            long = rating(continuation, 5, "x" * 1_001)
            assert (await me.post(path, json=long)).status_code == 422
            assert (await me.post(path, json=rating(continuation))).status_code == 404
            answers = [await me.post(path, json=rating(continuation)) for _ in range(4)]
            assert answers[-1].status_code == 429


@pytest.mark.parametrize(
    "context",
    [
        {"data": "{"},
        {"data": "x" * 2_001},
        {"data": "1", "signature": "0" * 64},
        {"data": {}},
        {"signature": ""},
    ],
)
async def test_a_context_that_cannot_be_read_is_refused(
    livekit: FakeLiveKit, context: dict[str, Any]
) -> None:
    async with browser(settings_for(livekit.url)) as client:
        answer = await client.post("/token", json={"context": context})
    assert answer.status_code == 422
    assert livekit.called == []


async def test_a_context_that_can_be_read_begins_a_call(livekit: FakeLiveKit) -> None:
    async with browser(settings_for(livekit.url)) as client:
        answer = await client.post("/token", json={"context": {"data": '{"page": "Teapots"}'}})
    assert answer.status_code == 201
    assert len(livekit.called) == 1
