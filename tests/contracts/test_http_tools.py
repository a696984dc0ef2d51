"""HTTP tools against servers in trouble: the model gets one line, and the conversation goes on."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from livekit.agents import Agent

from agent.toolbox.effects import Effects
from agent.toolbox.errors import ToolError
from agent.toolbox.http import HttpTools
from agent.toolbox.livekit_form import for_livekit
from llm_router.net.guard import AddressGuard
from llm_router.testing.server import Script
from llm_router.types import ToolCall
from llm_router.voice.tools import HttpTool
from tests.contracts.byte_server import Answer, Asked, ByteServer, page
from tests.contracts.livekit_asking import opened, reply_of
from tests.contracts.voiced import voiced

JSON = "content-type: application/json"
SECRET = "Bearer s3cret-of-the-shop"
OPEN = AddressGuard(allowed=("localhost",))
"""Opens the server of a test, which is on this machine; no other private address is open."""
PARAMETERS = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "note": {"type": "string"}},
    "required": ["id"],
}


def declared(server: ByteServer, **changes: Any) -> HttpTool:
    fields: dict[str, Any] = {
        "name": "find_order",
        "description": "Finds an order by its number.",
        "url": f"{server.root}/orders/{{id}}",
        "parameters": PARAMETERS,
        "headers": {"Authorization": SECRET},
        "timeout": 5,
        **changes,
    }
    return HttpTool(**fields)


@asynccontextmanager
async def tools(guard: AddressGuard = OPEN) -> AsyncIterator[HttpTools]:
    effects = Effects("call-1")
    runner = HttpTools(guard, effects)
    try:
        yield runner
    finally:
        await effects.aclose()
        await runner.aclose()


def answering(answer: Answer) -> Callable[[Asked], Answer]:
    return lambda _: answer


async def test_the_answer_of_a_get_is_given_to_the_model_without_white_space() -> None:
    body = json.dumps({"state": "on its way", "items": [1, 2]}, indent=2).encode()
    async with ByteServer(answering(page("200 OK", body, JSON))) as server, tools() as runner:
        said = await runner.run(declared(server), {"id": "A 7", "note": "é&x"})
    assert said == '{"state": "on its way", "items": [1, 2]}'
    [asked] = server.asked
    assert (asked.method, asked.path) == ("GET", "/orders/A%207?note=%C3%A9%26x")
    assert asked.headers["authorization"] == SECRET
    assert "idempotency-key" not in asked.headers


async def test_a_post_has_its_arguments_in_the_body_and_a_key_against_repetition() -> None:
    async with (
        ByteServer(answering(page("200 OK", b'"booked"', JSON))) as server,
        tools() as runner,
    ):
        booking = declared(server, method="POST")
        assert await runner.run(booking, {"id": "7", "note": "by the window"}) == "booked"
        assert "not repeated" in await runner.run(booking, {"id": "7", "note": "by the window"})
    [asked] = server.asked
    assert (asked.path, asked.body) == ("/orders/7", {"note": "by the window"})
    assert asked.headers["idempotency-key"] == Effects("call-1").key(
        "find_order", {"id": "7", "note": "by the window"}
    )


REFUSED = page("404 Not Found", b"no such order at http://10.0.0.1/secret")
FAULTS: dict[str, tuple[Answer, str]] = {
    "an error": (page("500 Internal Server Error", b"trace"), "HTTP 500 (internal server error)"),
    "a refusal": (REFUSED, "HTTP 404 (not found)"),
    "a reset": ("reset", "broke off"),
    "an early end": (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", "no answer"),
    "garbage": (b"220 mail.example ESMTP\r\n\r\n", "broke off"),
    "a redirect": (
        page("302 Found", b"", "location: http://169.254.169.254/latest/meta-data"),
        "leads elsewhere",
    ),
    "a moved post": (page("307 Moved", b"", "location: http://127.0.0.1:9/"), "leads elsewhere"),
    "unknown compression": (page("200 OK", b"x", "content-encoding: br"), "broke off"),
}


@pytest.mark.parametrize(("answer", "reason"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_fault_is_one_line_without_addresses_and_secrets(
    answer: Answer, reason: str, method: str
) -> None:
    async with ByteServer(answering(answer)) as server, tools() as runner:
        tool = declared(server, method=method, timeout=0.3)
        with pytest.raises(ToolError) as failed:
            await runner.run(tool, {"id": "7"})
    message = failed.value.message
    assert reason in message
    assert "\n" not in message
    for part in ("localhost", "127.0.0.1", "169.254", "10.0.0.1", "s3cret", "trace"):
        assert part not in message
    may_be_repeated = method == "GET" or answer == REFUSED
    assert ("Do not repeat" in message) is not may_be_repeated
    assert len(server.asked) == 1  # nowhere else was asked, and nothing twice


async def test_a_server_that_hangs_is_left_after_the_time_limit() -> None:
    async with ByteServer(answering(b"")) as server, tools() as runner:
        with pytest.raises(ToolError, match=r"no answer within 0\.05 s"):
            await runner.run(declared(server, timeout=0.05), {"id": "7"})


async def test_a_slow_answer_has_the_time_of_its_tool_and_no_shorter_one_of_the_client() -> None:
    asked: list[httpx2.Request] = []

    async def note(request: httpx2.Request) -> None:
        asked.append(request)

    async with ByteServer(answering(page("200 OK", b"ok"))) as server, tools() as runner:
        runner._client.event_hooks = {"request": [note]}
        await runner.run(declared(server, timeout=60), {"id": "7"})
    assert set(asked[0].extensions["timeout"].values()) == {None}


async def test_of_ten_megabytes_a_little_is_read_and_less_is_given_to_the_model() -> None:
    huge = page("200 OK", b"word " * 2_000_000, "content-type: text/plain")
    async with ByteServer(answering(huge)) as server, tools() as runner:
        said = await runner.run(declared(server, answer_characters=100), {"id": "7"})
    assert said == "word " * 20 + "… (the rest is left out)"


async def test_what_is_no_text_is_not_given_to_the_model() -> None:
    picture = page("200 OK", bytes(range(256)), "content-type: image/png")
    async with ByteServer(answering(picture)) as server, tools() as runner:
        assert await runner.run(declared(server), {"id": "7"}) == "The answer is no text."


async def test_a_private_address_is_refused_and_the_model_is_not_given_it() -> None:
    async with ByteServer(answering(b"")) as server, tools(AddressGuard()) as runner:
        with pytest.raises(ToolError, match="may not be called") as failed:
            await runner.run(declared(server), {"id": "7"})
        assert not server.asked
    assert "localhost" not in failed.value.message


async def test_a_post_that_was_never_sent_may_be_tried_again() -> None:
    async with ByteServer(answering(page("200 OK", b"done", "content-type: text/plain"))) as server:
        here = declared(server, method="POST")
        gone = declared(server, method="POST", url="http://localhost:9/{id}")
        async with tools() as runner:
            with pytest.raises(ToolError, match="cannot be reached"):
                await runner.run(gone, {"id": "7"})
            assert await runner.run(here, {"id": "7"}) == "done"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [({}, "'id' is a required property"), ({"id": "x" * 30_000}, "too long")],
)
async def test_arguments_that_cannot_be_sent_are_refused(
    arguments: dict[str, Any], reason: str
) -> None:
    async with ByteServer(answering(b"")) as server, tools() as runner:
        with pytest.raises(ToolError, match=reason):
            await runner.run(declared(server), arguments)
        assert not server.asked


TROUBLE: dict[str, tuple[Answer, str]] = {
    "a tool that hangs": (b"", "no answer within 0.3 s"),
    "an error": FAULTS["an error"],
    "a redirect to a private address": FAULTS["a redirect"],
    "ten megabytes": (
        page("200 OK", b"word " * 2_000_000, "content-type: text/plain"),
        "… (the rest is left out)",
    ),
}


@pytest.mark.parametrize(("answer", "result_has"), TROUBLE.values(), ids=TROUBLE)
async def test_a_conversation_goes_on_after(answer: Answer, result_has: str) -> None:
    def script(number: int) -> Script:
        if servers[0].requests[number].messages[-1]["role"] == "user":
            return Script(words=[], tool_calls=[ToolCall("c1", "find_order", '{"id": "7"}')])
        return Script(words=["I", " could", " not", " find", " it."])

    async with (
        ByteServer(answering(answer)) as shop,
        opened("http", Script()) as (model, servers),
        tools() as runner,
    ):
        await servers[0].behave(script)
        tool = declared(shop, timeout=0.3, answer_characters=100)
        agent = Agent(instructions="Be brief.", tools=[for_livekit(runner.tool(tool))])
        async with voiced(model, agent) as session:
            assert await reply_of(session, "Where is my order?") == "I could not find it."
        assert len(shop.asked) == 1
    [*_, result] = servers[0].requests[-1].messages
    assert result_has in result["content"]
    assert len(result["content"]) < 200
