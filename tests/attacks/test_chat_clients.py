"""Programs that ask for chat completions in order to harm: bodies that are made to be slow, crowds
of clients that leave, and halves of characters.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from llm_router.clock import SystemClock
from llm_router.gateway.rates import RateLimit
from llm_router.testing.server import Fault, FaultyServer, Script
from tests.attacks.heartbeat import heartbeat
from tests.contracts.gateway import Gateway, chat_error, openai_error
from tests.contracts.threads import Api, api_on_a_socket

CROWD = 40
QUESTION = {"model": "auto", "messages": [{"role": "user", "content": "Hi?"}], "stream": True}
PART = {"type": "text", "text": "x"}
BODIES: dict[str, bytes] = {
    "deep": b'{"messages": ' + b"[" * 4_000_000,
    "deep and closed": b'{"messages": ' + b"[" * 140_000 + b"]" * 140_000 + b"}",
    "wide": b'{"messages": [' + b"1," * 3_900_000 + b"1]}",
    "many fields": json.dumps({f"k{i}": i for i in range(99_000)}).encode(),
    "many faults": json.dumps({**QUESTION, "messages": [{"role": 7}] * 20_000}).encode(),
    "many parts": json.dumps(
        {**QUESTION, "messages": [{"role": "user", "content": [PART] * 14_000}]}
    ).encode(),
    "many tools": json.dumps({**QUESTION, "tools": [{"function": {"name": 1}}] * 9_000}).encode(),
    "long number": b'{"seed": ' + b"9" * 7_000_000 + b"}",
    "long name": json.dumps({**QUESTION, "model": "m" * 7_000_000}).encode(),
}


@pytest.mark.parametrize("name", BODIES)
async def test_no_body_holds_up_other_requests(gateway: Gateway, name: str) -> None:
    headers = {"Authorization": f"Bearer {gateway.keys['editor']}"}
    await gateway.call("editor", "GET", "/v1/models")  # the router is open
    async with heartbeat() as heart:
        answer = await gateway.client.post(
            "/v1/chat/completions", content=BODIES[name], headers=headers
        )
    openai_error(answer, 404 if name == "many parts" else 400)
    assert len(answer.content) < 2_000
    assert heart.longest_gap < 0.2


OTHER_FORMS: dict[str, Any] = {
    "/v1/responses": {
        "input": [{"role": "user", "content": [{**PART, "type": "input_text"}] * 14_000}]
    },
    "/v1/messages": {"max_tokens": 9, "messages": [{"role": "user", "content": [PART] * 14_000}]},
    "/v1/messages/count_tokens": {"messages": [{"role": "user", "content": "x" * 7_000_000}]},
    "/v1/completions": {"prompt": "x" * 7_000_000},
}


@pytest.mark.parametrize("path", OTHER_FORMS)
async def test_no_body_of_another_form_holds_up_other_requests(gateway: Gateway, path: str) -> None:
    headers = {"x-api-key": gateway.keys["editor"]}
    content = json.dumps({"model": "auto", **OTHER_FORMS[path]}).encode()
    await gateway.call("editor", "GET", "/v1/models")  # the router is open
    async with heartbeat() as heart:
        answer = await gateway.client.post(path, content=content, headers=headers)
    chat_error(answer, 404)
    assert heart.longest_gap < 0.2


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    url = f"sqlite:///{tmp_path}/api.sqlite3"
    no_limit = RateLimit("100000/second")
    local = ("127.0.0.0/8",)
    async with api_on_a_socket(url, allowed_addresses=local, request_limit=no_limit) as api:
        yield api


async def leave_early(api: Api, *, stream: bool) -> None:
    """Asks, and closes the connection without reading."""
    host, port = api.url.removeprefix("http://").split(":")
    body = json.dumps({**QUESTION, "stream": stream}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
        f"Authorization: Bearer {api.keys['editor']}\r\n\r\n"
    )
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode() + body)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def test_a_crowd_that_leaves_leaves_nothing_behind(api: Api) -> None:
    hangs = Script(fault=Fault.STALL_AFTER)
    async with FaultyServer(hangs) as server:
        await api.gateway.connection(base_url=server.base_url)
        router = await api.gateway.services.chat_router.get()
        places = api.gateway.services.reply_places
        await asyncio.gather(*(leave_early(api, stream=bool(n % 2)) for n in range(CROWD)))
        [endpoint] = router.pool.endpoints
        async with asyncio.timeout(20):
            while endpoint.in_flight or places.in_progress:
                await SystemClock().sleep(0.05)
        for number in range(len(server.requests)):
            await server.disconnected(number)
        assert all(request.disconnected_at is not None for request in server.requests)
        await server.behave(Script())
        answer = await api.gateway.call("editor", "POST", "/v1/chat/completions", QUESTION)
        assert answer.text.endswith("data: [DONE]\n\n")


async def test_halves_of_characters_reach_the_server_as_a_request(api: Api) -> None:
    odd: Any = [{"role": "user", "content": "a \ud800 b \udc00"}]
    tool = {"type": "function", "function": {"name": "f\ud800", "description": "\udfff"}}
    async with FaultyServer() as server:
        await api.gateway.connection(base_url=server.base_url)
        content = json.dumps(
            {**QUESTION, "messages": odd, "tools": [tool], "user": "\ud83d"}
        ).encode()
        headers = {"Authorization": f"Bearer {api.keys['editor']}"}
        answer = await api.gateway.client.post(
            "/v1/chat/completions", content=content, headers=headers
        )
        assert answer.status_code == 200, answer.text
        assert server.requests[0].messages[0]["content"] == "a \ufffd b \ufffd"


async def leave_in_mid_reply(api: Api, *, stream: bool) -> None:
    """Asks, reads the first word where the reply is streamed, and closes the connection."""
    host, port = api.url.removeprefix("http://").split(":")
    body = json.dumps({**QUESTION, "stream": stream}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
        f"Authorization: Bearer {api.keys['editor']}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode() + body)
    if stream:
        await reader.readuntil(b'"content":"Hello"')
    writer.close()
    await writer.wait_closed()


async def test_a_thousand_streams_that_are_left_leave_neither_sockets_nor_tasks(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    async with FaultyServer(Script(fault=Fault.STALL_AFTER, after=1)) as server:
        await api.gateway.connection(base_url=server.base_url)
        router = await api.gateway.services.chat_router.get()
        [endpoint] = router.pool.endpoints

        async def waves(number: int) -> tuple[int, int]:
            """Has so many crowds leave; returns the tasks and file descriptors after that."""
            for wave in range(number):
                stream = bool(wave % 5)
                crowd = (leave_in_mid_reply(api, stream=stream) for _ in range(CROWD))
                await asyncio.gather(*crowd)
            async with asyncio.timeout(60):
                while endpoint.in_flight or api.gateway.services.reply_places.in_progress:
                    await SystemClock().sleep(0.05)
            await SystemClock().sleep(0.2)
            descriptors = len(list(Path("/proc/self/fd").iterdir()))  # noqa: ASYNC240  no disk
            return len(asyncio.all_tasks()), descriptors

        before = await waves(2)
        after = await waves(1_000 // CROWD)
        assert len(server.requests) >= 840  # those that were streamed; others may leave sooner
        assert after[0] <= before[0] + 5, "tasks"
        assert after[1] <= before[1] + 5, "file descriptors"
        assert not [record for record in caplog.records if record.exc_info]
        await server.behave(Script())
        answer = await api.gateway.call("editor", "POST", "/v1/chat/completions", QUESTION)
        assert answer.text.endswith("data: [DONE]\n\n")
