"""Pages of other websites, with a site's key and without: who may ask, and how often."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import jwt
import pytest
import pytest_asyncio

from agent.livekit_server import LiveKitServer
from llm_router.clock import SystemClock
from tests.attacks.calls.flood import STOLEN_BY, flood
from tests.attacks.calls.test_rooms import end
from tests.voice.stack import VoiceStack, running_stack

SHOP, BLOG = "https://shop.example", STOLEN_BY


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def open_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[VoiceStack]:
    """LiveKit and the HTTP process alone."""
    settings = {"TRUSTED_PROXIES": "127.0.0.1", "WORKER": "off"}
    async with running_stack(tmp_path_factory.mktemp("sites"), **settings) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def stack(open_stack: VoiceStack) -> AsyncIterator[VoiceStack]:
    """The stack without a room and without a site at the end."""
    yield open_stack
    for room in await rooms(open_stack):
        await end(open_stack, room)
    for site in (await open_stack.manage("GET", "/sites"))["items"]:
        await open_stack.manage("DELETE", f"/sites/{site['name']}")


async def rooms(stack: VoiceStack) -> list[str]:
    async with stack.server() as livekit:
        mine = stack.settings["AGENT_NAME"]
        return [name for name, mark in (await livekit.rooms()).items() if mark.startswith(mine)]


async def add_site(stack: VoiceStack, name: str = "shop", origin: str = SHOP, **fields: Any) -> str:
    """Adds a site, and returns its key once it works: sites are read once a second at most."""
    made = await stack.manage("POST", "/sites", {"name": name, "origins": [origin], **fields})
    url = f"http://127.0.0.1:{stack.ports.http_port}/site"
    async with httpx2.AsyncClient(headers={"Origin": origin}) as client, asyncio.timeout(30):
        while (await client.get(url, params={"site": made["key"]})).status_code != 200:
            await SystemClock().sleep(0.1)
    return str(made["key"])


class Visitor:
    """Asks for tokens from a page of this origin and this address."""

    def __init__(self, stack: VoiceStack, origin: str = SHOP, address: str = "192.0.2.1") -> None:
        self._url = f"http://127.0.0.1:{stack.ports.http_port}/token"
        self._headers = {"Origin": origin, "X-Forwarded-For": address}

    async def ask(self, key: str | None) -> httpx2.Response:
        params = {} if key is None else {"site": key}
        async with httpx2.AsyncClient(headers=self._headers) as client:
            return await client.post(self._url, params=params, json={})

    async def may_ask(self, key: str) -> bool:
        """Asks for leave, as a browser does before it sends JSON to another origin."""
        headers = {
            **self._headers,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        }
        async with httpx2.AsyncClient(headers=headers) as client:
            answer = await client.options(self._url, params={"site": key})
        return answer.headers.get("access-control-allow-origin") == self._headers["Origin"]


async def test_a_page_of_the_site_gets_a_token_and_any_other_page_none(stack: VoiceStack) -> None:
    key = await add_site(stack)
    granted = await Visitor(stack).ask(key)
    assert granted.status_code == 201, granted.text
    assert granted.headers["access-control-allow-origin"] == SHOP
    assert granted.json()["modes"] == ["text", "voice"]
    assert await Visitor(stack).may_ask(key)
    assert not await Visitor(stack, BLOG).may_ask(key)
    stolen = await Visitor(stack, BLOG).ask(key)
    assert (stolen.status_code, stolen.json()["type"]) == (403, "/problems/origin-not-allowed")
    assert "access-control-allow-origin" not in stolen.headers
    without = await Visitor(stack).ask(None)
    assert (without.status_code, without.json()["type"]) == (403, "/problems/origin-not-allowed")
    assert len(await rooms(stack)) == 1


async def test_a_site_for_text_alone_lets_no_microphone_into_the_room(stack: VoiceStack) -> None:
    key = await add_site(stack, modes=["text"])
    granted = (await Visitor(stack).ask(key)).json()
    video = jwt.decode(granted["participant_token"], options={"verify_signature": False})["video"]
    assert (video["canPublish"], video["canPublishSources"], video["canPublishData"]) == (
        False, [], True,
    )  # fmt: skip
    assert granted["modes"] == ["text"]


async def test_calls_at_once_are_those_of_the_site_alone(stack: VoiceStack) -> None:
    key = await add_site(stack, calls_at_once=1)
    assert (await Visitor(stack).ask(key)).status_code == 201
    second = await Visitor(stack, address="192.0.2.2").ask(key)
    assert (second.status_code, second.json()["type"]) == (503, "/problems/all-lines-busy")
    blog = await add_site(stack, "blog", BLOG)
    assert (await Visitor(stack, BLOG, "192.0.2.3").ask(blog)).status_code == 201


async def test_a_visitor_begins_no_more_calls_than_the_site_allows(stack: VoiceStack) -> None:
    key = await add_site(stack, calls_per_visitor=1)
    assert (await Visitor(stack, address="192.0.2.9").ask(key)).status_code == 201
    again = await Visitor(stack, address="192.0.2.9").ask(key)
    assert (again.status_code, int(again.headers["retry-after"]) > 0) == (429, True)


async def test_the_agent_is_sent_with_what_the_site_allows(stack: VoiceStack) -> None:
    key = await add_site(stack, assistant="front-desk", longest_call=60, keep="nothing")
    await Visitor(stack).ask(key)
    (room,) = await rooms(stack)
    async with stack.server() as livekit:
        (sent,) = await dispatched(livekit, room, stack.settings["AGENT_NAME"])
    assert '"assistant":"front-desk"' in sent
    assert '"max_seconds":60' in sent
    assert '"keep":"nothing"' in sent


@pytest.mark.parametrize("requests", [3_000, pytest.param(10_000, marks=pytest.mark.thorough)])
async def test_a_flood_of_requests_starts_no_call_and_the_page_is_still_answered(
    stack: VoiceStack, requests: int
) -> None:
    key = await add_site(stack)
    flooded = await flood(stack, key, requests)
    assert sum(flooded.answers.values()) == requests
    assert set(flooded.answers) <= {403, 429, 503}
    assert {status for status, _ in flooded.page} == {200}
    assert await rooms(stack) == []


async def dispatched(livekit: LiveKitServer, room: str, agent_name: str) -> list[str]:
    """Returns the metadata of each agent that was called into the room."""
    listed = await livekit._api.agent_dispatch.list_dispatch(room)
    return [each.metadata for each in listed if each.agent_name == agent_name]
