"""A conversation in writing that moves to its room begins a call, within the limits of one."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from aiohttp import web
from fastapi import FastAPI

from agent.dispatch import Dispatch
from agent.receptionist.queue import CallMark
from agent.survival.identity import AGENT_NAME, ROOM_ID, TERMS
from llm_router.clock import SystemClock, utc_now
from llm_router.store.calls import CallStore
from llm_router.store.database import Database
from llm_router.store.text_calls import TextCalls
from llm_router.voice.calls import PAGE_CONTEXT, Call, CallAgent, CallFacts
from tests.contracts.test_api import (
    SHOP,
    FakeLiveKit,
    application,
    browser_of,
    claims,
    livekit,
    problem,
    settings_for,
    store_site,
)

__all__ = ["livekit"]
NAME = "patchbay"
AGENT = CallAgent(identity="agent", worker="w", job="j")
ELSEWHERE = CallMark(caller="ben", site="shop").to_metadata(NAME)


@dataclass
class Page:
    """A page of a site, whose visitor has a conversation in writing."""

    client: httpx2.AsyncClient
    site: str
    database: Database
    token: str = ""

    @classmethod
    async def of(cls, app: FastAPI, client: httpx2.AsyncClient, **fields: Any) -> "Page":
        site = await store_site(app, **fields)
        page = cls(client, site, app.state.services.database)
        await page.begin()
        return page

    async def begin(self) -> None:
        answer = await self.ask("/api/visitor/conversations")
        assert answer.status_code == 201
        self.token = answer.json()["token"]

    async def ask(self, path: str, **body: Any) -> httpx2.Response:
        headers = {"Origin": SHOP}
        return await self.client.post(path, params={"site": self.site}, headers=headers, json=body)

    async def talk(self) -> httpx2.Response:
        return await self.ask("/token", conversation=self.token)

    async def call(self, room: str) -> Call:
        call = await CallStore(self.database).going_on(room)
        assert call
        return call

    async def is_answered(self, room: str, epoch: int, room_id: str = "RM_1") -> Call:
        """Has an agent claim the call of a room."""
        noted = {AGENT_NAME: NAME, ROOM_ID: room_id, PAGE_CONTEXT: {"text": "{}"}}
        facts = CallFacts(metadata=noted)
        now = utc_now(SystemClock())
        call = await CallStore(self.database).claim(room, epoch, AGENT, now, facts)
        assert call
        return call

    async def hangs_up(self, room: str) -> None:
        call = await self.call(room)
        await CallStore(self.database).end(call.id, "caller left", utc_now(SystemClock()))


def room_of(answer: httpx2.Response) -> str:
    assert answer.status_code == 201, answer.text
    video = claims(answer).video
    assert video
    return video.room


async def test_the_call_has_the_modes_and_limits_of_its_site(livekit: FakeLiveKit) -> None:
    async with application(settings_for(livekit.url)) as app, browser_of(app) as client:
        page = await Page.of(app, client, modes=["text"], longest_call=60, spend_per_day=2.5)
        answer = await page.talk()
        room = room_of(answer)
        call = await page.call(room)
    granted = claims(answer).video
    assert granted
    assert (granted.can_publish, answer.json()["modes"]) == (False, ["text"])
    assert livekit.called == [(NAME, room)]
    assert livekit.dispatches == []
    mark = CallMark.read(livekit.rooms[room], NAME)
    assert mark
    assert mark.site == "shop"
    described = Dispatch.from_metadata(livekit.described[0])
    assert described.terms
    terms = described.terms
    assert (terms.site, terms.max_seconds, terms.max_cost) == ("shop", 60, 2.5)
    assert (described.epoch, call.epoch, call.metadata["site"]) == (1, 1, "shop")
    assert call.metadata[TERMS] == terms.model_dump(mode="json")


@pytest.mark.parametrize(
    ("site", "settings", "refusal"),
    [
        ({"calls_at_once": 1}, {}, (503, "all-lines-busy")),
        ({}, {"max_calls": 1, "queue_length": 0}, (503, "all-lines-busy")),
        ({}, {"call_rate_limit": "1/hour"}, (429, "rate-limited")),
        ({"calls_per_minute": 1}, {}, (429, "rate-limited")),
        ({"calls_per_visitor": 1}, {}, (429, "rate-limited")),
    ],
    ids=str,
)
async def test_a_limit_of_calls_is_one_of_moves_which_are_taken_back(
    livekit: FakeLiveKit, site: Any, settings: Any, refusal: tuple[int, str]
) -> None:
    async with application(settings_for(livekit.url, **settings)) as app, browser_of(app) as client:
        page = await Page.of(app, client, **site)
        room = room_of(await page.talk())
        await page.is_answered(room, 1)
        await page.hangs_up(room)
        livekit.rooms = {"web-other": ELSEWHERE}
        answer = await page.talk()
        call = await page.call(room)
    assert problem(answer)
    kind = answer.json()["type"].rpartition("/")[2]
    assert ((answer.status_code, kind), call.state) == (refusal, "text")
    assert list(livekit.rooms) == ["web-other"]
    assert len(livekit.called) == 1


async def test_what_is_left_of_an_earlier_call_is_closed_for_the_next_one(
    livekit: FakeLiveKit,
) -> None:
    settings = settings_for(livekit.url, max_calls=1)
    async with application(settings) as app, browser_of(app) as client:
        page = await Page.of(app, client)
        room = room_of(await page.talk())
        await page.is_answered(room, 1)
        await page.hangs_up(room)
        assert room_of(await page.talk()) == room
        call = await page.call(room)
    assert livekit.closed == [room]
    assert livekit.called == [(NAME, room)] * 2
    second = Dispatch.from_metadata(livekit.described[1])
    assert (second.epoch, second.planned, call.epoch) == (2, True, 2)
    assert {ROOM_ID, AGENT_NAME, PAGE_CONTEXT}.isdisjoint(call.metadata)


async def test_a_visitor_returns_to_the_room_though_another_call_has_no_place(
    livekit: FakeLiveKit,
) -> None:
    settings = settings_for(livekit.url, max_calls=1, call_rate_limit="1/hour")
    async with application(settings) as app, browser_of(app) as client:
        page = await Page.of(app, client)
        room = room_of(await page.talk())
        await page.is_answered(room, 1)
        assert room_of(await page.talk()) == room
    assert livekit.called == [(NAME, room)]


async def test_a_failure_of_livekit_leaves_a_call_in_its_room(livekit: FakeLiveKit) -> None:
    async with application(settings_for(livekit.url)) as app, browser_of(app) as client:
        page = await Page.of(app, client)
        room = room_of(await page.talk())
        before = await page.is_answered(room, 1)
        livekit.answer = web.Response(status=500)
        assert (await page.talk()).status_code == 503
        assert await page.call(room) == before
        await page.begin()
        assert (await page.talk()).status_code == 503
        livekit.answer = None
        assert room_of(await page.talk()) != room


async def test_a_call_whose_room_livekit_has_lost_goes_on_there(livekit: FakeLiveKit) -> None:
    async with application(settings_for(livekit.url)) as app, browser_of(app) as client:
        page = await Page.of(app, client, modes=["text"])
        room = room_of(await page.talk())
        await page.is_answered(room, 1)
        livekit.rooms.clear()
        answer = await page.talk()
        assert (room_of(answer), answer.json()["modes"]) == (room, ["text"])
    assert livekit.called == [(NAME, room)]
    mark = CallMark.read(livekit.rooms[room], NAME)
    assert mark
    assert mark.site == "shop"


async def test_a_conversation_without_a_room_is_taken_back_once_no_agent_can_be_alive(
    livekit: FakeLiveKit,
) -> None:
    async with application(settings_for(livekit.url)) as app, browser_of(app) as client:
        page = await Page.of(app, client)
        room = room_of(await page.talk())
        await page.is_answered(room, 1)
        await page.hangs_up(room)
        store = TextCalls(page.database)
        livekit.rooms.clear()
        # As a process leaves it that is killed between the two steps of a move.
        for seconds, state in ((1, "agent"), (60, "text")):
            then = utc_now(SystemClock()) - timedelta(seconds=seconds)
            await store.to_text((await page.call(room)).id, (await page.call(room)).epoch, then)
            facts = CallFacts(metadata={ROOM_ID: None, AGENT_NAME: None})
            assert await store.to_voice(room, then, facts)
            answer = await page.talk()
            assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
            assert (await page.call(room)).state == state
            assert livekit.rooms == {}
        assert room_of(await page.talk()) == room
