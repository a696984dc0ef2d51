"""Tests texts that one connection writes over HTTP, and the routers that stay open for them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from llm_router.clock import SystemClock, Timer
from llm_router.connections.access import SYSTEM
from llm_router.gateway.completions.places import ReplyPlaces
from llm_router.management.generate import IDLE_TIMEOUT
from llm_router.testing.server import Fault, FaultyServer, Script
from tests.contracts.databases import Files
from tests.contracts.gateway import Gateway, gateway_on, problem
from tests.contracts.threads import api_on_a_socket

KEY = "sk-0123456789-wxyz"
NEW_KEY = "sk-9876543210-abcd"
WORDS = "".join(Script().words)
LOCAL = ("127.0.0.0/8",)
"""Addresses that the operator has opened to everybody: this machine."""


@pytest.fixture
async def gateway(files: Files) -> AsyncIterator[Gateway]:
    async with gateway_on(await files.new(), allowed_addresses=LOCAL) as gateway:
        yield gateway


async def generated(gateway: Gateway, script: Script, who: str = "editor", **fields: Any) -> Any:
    async with FaultyServer(script) as server:
        made = await gateway.connection(base_url=server.base_url, api_key=KEY, **fields)
        body = {"prompt": "Hi?", "system": "Be brief.", "temperature": 0.5, "max_tokens": 9}
        path = f"/connections/{made['id']}/generate"
        answer = await gateway.call(who, "POST", path, body)
        return answer, server.requests, made


async def test_a_text_comes_with_its_tokens_and_times_and_counts_as_use(gateway: Gateway) -> None:
    answer, (asked,), made = await generated(gateway, Script())
    said = answer.json()
    assert (said["text"], said["connection"], said["model"]) == (WORDS, "desk", "m")
    assert said["finish_reason"] == "stop"
    assert 0 < said["first_word"] <= said["duration"]
    assert said["usage"]["completion_tokens"] > 0
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert [m["content"] for m in asked.messages] == ["Be brief.", "Hi?"]
    assert (asked.body["temperature"], asked.body["max_tokens"]) == (0.5, 9)
    used = (await gateway.call("editor", "GET", f"/connections/{made['id']}/usage")).json()
    assert used["latest"][0]["integration"] == "automation"
    assert used["latest"][0]["tokens_out"] == said["usage"]["completion_tokens"]
    actions = [e.action for e in await gateway.store.audit(SYSTEM, target=made["id"])]
    assert actions[0] == "generate"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (Script(fault=Fault.STATUS, status=401), "rejected key"),
        (Script(fault=Fault.REFUSE), "unreachable"),
        (Script(fault=Fault.RESET_AFTER), "broken stream"),
    ],
)
async def test_a_server_that_fails_is_a_problem_with_the_reason(
    gateway: Gateway, script: Script, said: str
) -> None:
    answer, _, _ = await generated(gateway, script)
    document = problem(answer, 502, "reply-failed")
    ((name, reason),) = document["reasons"]
    assert name == "desk"
    assert reason.startswith(said)
    assert KEY not in answer.text


async def test_a_connection_not_for_automation_says_which_flag_is_off(gateway: Gateway) -> None:
    answer, asked, _ = await generated(gateway, Script(), use_in_automation=False)
    assert "its flag use_in_automation is off" in problem(answer, 403)["detail"]
    assert not asked


async def test_a_viewer_cannot_generate(gateway: Gateway) -> None:
    answer, asked, _ = await generated(
        gateway, Script(), who="viewer", team="red", visibility="team"
    )
    problem(answer, 403)
    assert not asked


async def test_an_inactive_connection_is_not_asked(gateway: Gateway) -> None:
    answer, asked, _ = await generated(gateway, Script(), is_active=False)
    assert "'desk' cannot be asked now: not active" in problem(answer, 409)["detail"]
    assert not asked


@pytest.mark.parametrize("path", ["/connections/{}/generate", "/generate"])
async def test_a_text_without_a_place_is_not_asked_for(files: Files, path: str) -> None:
    async with (
        FaultyServer() as server,
        gateway_on(
            await files.new(), allowed_addresses=LOCAL, reply_places=ReplyPlaces(most=0)
        ) as gateway,
    ):
        made = await gateway.connection(base_url=server.base_url)
        answer = await gateway.call("editor", "POST", path.format(made["id"]), {"prompt": "Hi?"})
        problem(answer, 429, "busy")
        assert not server.requests


# ── By any connection ────────────────────────────────────────────────────────────────────────────


async def test_a_text_is_written_by_whichever_connection_can(gateway: Gateway) -> None:
    broken = Script(fault=Fault.RESET_AFTER)
    async with FaultyServer(broken) as first, FaultyServer(Script(continues=True)) as spare:
        await gateway.connection(base_url=first.base_url, priority=1)
        await gateway.connection(base_url=spare.base_url, priority=2, name="spare")
        body = {"prompt": "Hi?", "system": "Be brief.", "model": "default", "max_tokens": 9}
        answer = await gateway.call("editor", "POST", "/generate", body)
        assert answer.json()["text"] == WORDS
        assert answer.json()["connection"] == "spare"
        assert spare.requests[-1].messages[0] == {"role": "system", "content": "Be brief."}


async def test_a_text_of_a_model_that_is_not_there_names_those_that_are(gateway: Gateway) -> None:
    await gateway.connection()
    await gateway.connection(name="calls only", use_in_automation=False)
    body = {"prompt": "Hi?", "model": "gone"}
    said = problem(await gateway.call("editor", "POST", "/generate", body), 404, "not-found")
    assert "there is: auto, desk" in said["detail"]
    assert "calls only" not in said["detail"]


async def test_servers_that_all_fail_are_named_with_their_reasons(gateway: Gateway) -> None:
    async with FaultyServer(Script(fault=Fault.STATUS, status=401)) as server:
        await gateway.connection(base_url=server.base_url)
        answer = await gateway.call("editor", "POST", "/generate", {"prompt": "Hi?"})
        ((name, reason),) = problem(answer, 502, "reply-failed")["reasons"]
        assert (name, reason.startswith("rejected key")) == ("desk", True)


async def test_a_client_that_leaves_ends_the_request_to_the_server(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    hung = Script(fault=Fault.HANG_BEFORE_HEADERS)
    async with (
        FaultyServer(hung) as server,
        api_on_a_socket(await files.new(), allowed_addresses=LOCAL) as api,
        httpx2.AsyncClient() as client,
    ):
        made = await api.gateway.connection(base_url=server.base_url)
        headers = {"Authorization": f"Bearer {api.keys['editor']}"}
        paths = ("/generate", f"/connections/{made['id']}/generate")
        for number, path in enumerate(paths):
            url = f"{api.url}/api{path}"
            asking = asyncio.create_task(client.post(url, json={"prompt": "Hi?"}, headers=headers))
            await server.received(number)
            asking.cancel()
            await asyncio.wait([asking])
            await server.disconnected(number)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


# ── Routers that stay open ───────────────────────────────────────────────────────────────────────


async def generate(gateway: Gateway, connection_id: str, who: str = "editor") -> str:
    path = f"/connections/{connection_id}/generate"
    answer = await gateway.call(who, "POST", path, {"prompt": "Hi?"})
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["text"]
    return text


async def all_closed(server: FaultyServer) -> None:
    """Returns when clients have closed every connection to the server."""
    await asyncio.gather(*server._tasks)


async def test_texts_of_one_connection_share_one_http_client(gateway: Gateway) -> None:
    async with FaultyServer() as server:
        made = await gateway.connection(base_url=server.base_url)
        assert [await generate(gateway, made["id"]) for _ in range(3)] == [WORDS] * 3
        # On a slow machine a text may be asked for twice, which takes a connection more.
        assert len(server.requests) - server.connections == 2


async def test_texts_at_the_same_time_open_one_router(gateway: Gateway) -> None:
    async with FaultyServer() as server:
        made = await gateway.connection(base_url=server.base_url)
        await asyncio.gather(*(generate(gateway, made["id"]) for _ in range(4)))
        await generate(gateway, made["id"])
        assert len(server.requests) >= 5
        assert server.connections < len(server.requests)


async def test_the_end_of_the_application_closes_the_http_client(files: Files) -> None:
    async with FaultyServer() as server:
        async with gateway_on(await files.new(), allowed_addresses=LOCAL) as gateway:
            made = await gateway.connection(base_url=server.base_url)
            await generate(gateway, made["id"])
        await all_closed(server)


async def test_a_new_key_is_used_from_the_next_request_on(gateway: Gateway) -> None:
    async with FaultyServer() as server:
        made = await gateway.connection(base_url=server.base_url, api_key=KEY)
        await generate(gateway, made["id"])
        path = f"/connections/{made['id']}/rotate-key"
        await gateway.call("editor", "POST", path, {"api_key": NEW_KEY})
        await generate(gateway, made["id"])
        sent = [request.headers["authorization"] for request in server.requests]
        assert sent == [f"Bearer {KEY}", f"Bearer {NEW_KEY}"]


async def test_an_edited_connection_is_asked_in_its_new_form_from_the_next_request_on(
    gateway: Gateway,
) -> None:
    async with FaultyServer() as server, FaultyServer() as other:
        made = await gateway.connection(base_url=server.base_url)
        await generate(gateway, made["id"])
        path = f"/connections/{made['id']}"
        edits = {"base_url": other.base_url, "model_name": "new"}
        assert (await gateway.call("editor", "PATCH", path, edits)).status_code == 200
        await generate(gateway, made["id"])
        assert [request.body["model"] for request in other.requests] == ["new"]
        await all_closed(server)


async def test_a_new_connection_under_an_old_id_is_not_asked_with_the_old_key(
    gateway: Gateway,
) -> None:
    async with FaultyServer() as server:
        row = {"id": "mine", "name": "a", "base_url": server.base_url, "model": "m"}
        for key in (KEY, NEW_KEY):
            body = [{**row, "api_key": key}]
            made = await gateway.call("editor", "POST", "/connections/import", body)
            assert made.status_code == 201, made.text
            await generate(gateway, "mine")
            await gateway.call("editor", "DELETE", "/connections/mine")
        sent = [request.headers["authorization"] for request in server.requests]
        assert sent == [f"Bearer {KEY}", f"Bearer {NEW_KEY}"]


async def test_a_check_that_changes_the_status_keeps_the_router_open(gateway: Gateway) -> None:
    async with FaultyServer() as server:
        made = await gateway.connection(base_url=server.base_url)
        await generate(gateway, made["id"])
        tested = await gateway.call("editor", "POST", f"/connections/{made['id']}/test")
        assert tested.json()["ok"]
        await generate(gateway, made["id"])
        assert server.connections == 2  # the router's, and the test's own


async def test_an_actor_does_not_share_the_router_of_another_guard(gateway: Gateway) -> None:
    async with FaultyServer() as server:
        made = await gateway.connection(base_url=server.base_url, visibility="everyone")
        await generate(gateway, made["id"])
        await generate(gateway, made["id"], who="admin")
        assert server.connections == 2


async def test_a_router_that_could_not_be_opened_is_opened_anew(gateway: Gateway) -> None:
    made = await gateway.connection(provider="livekit_plugin", server="openai", api_key=KEY)
    path = f"/connections/{made['id']}"
    for _ in range(2):
        problem(await gateway.call("editor", "POST", f"{path}/generate", {"prompt": "Hi?"}), 403)
    edits = {"provider": "offline", "server": "", "base_url": "", "api_key": None}
    assert (await gateway.call("editor", "PATCH", path, edits)).status_code == 200
    assert await generate(gateway, made["id"])


async def test_a_server_that_failed_is_asked_again_by_the_next_request(gateway: Gateway) -> None:
    """An open circuit breaker holds no request back, because there is no other connection."""
    async with FaultyServer(Script(fault=Fault.STATUS, status=401)) as server:
        made = await gateway.connection(base_url=server.base_url)
        path = f"/connections/{made['id']}/generate"
        for _ in range(4):
            problem(await gateway.call("editor", "POST", path, {"prompt": "Hi?"}), 502)
        await server.behave(Script())
        assert await generate(gateway, made["id"]) == WORDS


@dataclass(eq=False)
class HandTimer:
    when: float
    callback: Callable[[], None]
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True


class HandTimers(SystemClock):
    """A clock whose timers fire when the test says."""

    def __init__(self) -> None:
        self.timers: list[HandTimer] = []

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        timer = HandTimer(when, callback)
        self.timers.append(timer)
        return timer

    def fire_due_within(self, seconds: float) -> None:
        due = [timer for timer in self.timers if timer.when <= self.now() + seconds]
        self.timers = [timer for timer in self.timers if timer not in due]
        for timer in due:
            if not timer.is_cancelled:
                timer.callback()


async def test_an_idle_router_closes_and_takes_its_key_with_it(files: Files) -> None:
    clock = HandTimers()
    url = await files.new()
    async with (
        FaultyServer() as server,
        gateway_on(url, allowed_addresses=LOCAL, clock=clock) as gateway,
    ):
        made = await gateway.connection(base_url=server.base_url)
        await generate(gateway, made["id"])
        clock.fire_due_within(IDLE_TIMEOUT)
        await all_closed(server)
        await generate(gateway, made["id"])
        assert server.connections == 2
