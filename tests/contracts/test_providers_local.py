"""Tests the provider contract for the two providers without a wire of their own.

The LiveKit provider runs LiveKit's own OpenAI plugin over a real socket.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from llm_router.clock import SystemClock
from llm_router.connections.record import Connection
from llm_router.errors import (
    BrokenStreamError,
    ConfigurationError,
    StatusError,
    UnreachableError,
    UpstreamError,
)
from llm_router.providers.base import PROVIDERS, Provider
from llm_router.testing.script import chunk, event
from llm_router.testing.server import Fault, FaultyServer, Script
from llm_router.types import ChatRequest, Chunk, Message, ToolCall
from tests.contracts.asking import HELLO, WEATHER, collect, text


def make(connection: Connection) -> Provider:
    return PROVIDERS.load(connection.provider)(connection, SystemClock())


def through_livekit(server: FaultyServer, **fields: Any) -> Connection:
    return Connection(
        name="through livekit",
        provider="livekit_plugin",
        server="openai",
        base_url=server.base_url,
        api_key="sk-secret",
        **{"model_name": "faulty", **fields},
    )


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer() as faulty:
        yield faulty


@pytest.fixture(params=["offline", "livekit_plugin"])
async def provider(request: pytest.FixtureRequest, server: FaultyServer) -> AsyncIterator[Provider]:
    connections = {
        "offline": Connection(name="offline", provider="offline"),
        "livekit_plugin": through_livekit(server),
    }
    made = make(connections[request.param])
    yield made
    await made.aclose()


# --- Every provider --------------------------------------------------------------------------


async def test_a_reply_has_text_a_finish_reason_and_usage(provider: Provider) -> None:
    chunks = await collect(provider)
    assert sum(chunk.useful for chunk in chunks) > 1
    assert [c.finish_reason for c in chunks if c.finish_reason] == ["stop"]
    (usage,) = (chunk.usage for chunk in chunks if chunk.usage is not None)
    assert usage.completion_tokens
    assert all(chunk.connection == "" for chunk in chunks)


async def test_it_serves_requests_one_after_another_and_at_the_same_time(
    provider: Provider,
) -> None:
    answers = await asyncio.gather(*(collect(provider) for _ in range(5)))
    assert len({text(answer) for answer in answers}) == 1


async def test_a_reply_may_be_closed_after_its_first_word(provider: Provider) -> None:
    async with aclosing(provider.stream(HELLO)) as stream:
        async for chunk in stream:
            if chunk.useful:
                break
    assert text(await collect(provider))


async def test_warming_and_probing_a_healthy_provider_raises_nothing(provider: Provider) -> None:
    await provider.warm()
    await provider.probe()


async def test_it_names_its_models(provider: Provider) -> None:
    names = await provider.models()
    assert names
    assert all(names)


# --- LiveKit's OpenAI plugin, on a real socket -----------------------------------------------


@pytest.fixture
async def plugin(server: FaultyServer) -> AsyncIterator[Provider]:
    made = make(through_livekit(server))
    yield made
    await made.aclose()


async def test_a_tool_call_comes_complete_and_once(server: FaultyServer, plugin: Provider) -> None:
    call = ToolCall("call_0", "weather", '{"city": "Rome"}')
    await server.behave(Script(words=(), tool_calls=[call]))
    chunks = await collect(plugin, ChatRequest(messages=HELLO.messages, tools=[WEATHER]))
    assert [c for chunk in chunks for c in chunk.tool_calls] == [call]
    assert chunks[-1].finish_reason == "tool_calls"
    (sent,) = server.requests[0].body["tools"]
    assert sent["function"]["name"] == "weather"


async def test_the_conversation_and_its_options_reach_the_server(
    server: FaultyServer, plugin: Provider
) -> None:
    call = {"id": "call_7", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages: list[Message] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_7", "content": "sunny"},
    ]
    request = ChatRequest(messages=messages, tools=[WEATHER], tool_choice="auto", temperature=0.2)
    await collect(plugin, request)
    body = server.requests[0].body
    system, question, called, result = body["messages"]
    assert (system["role"], system["content"]) == ("system", "Be brief.")
    assert {part["type"] for part in question["content"]} == {"text", "image_url"}
    assert called["tool_calls"][0]["id"] == result["tool_call_id"] == "call_7"
    assert result["content"] == "sunny"
    assert (body["temperature"], body["tool_choice"]) == (0.2, "auto")


async def test_a_call_id_that_the_conversation_has_is_replaced(
    server: FaultyServer, plugin: Provider
) -> None:
    again = ToolCall("call_0", "weather", "{}")
    await server.behave(Script(words=(), tool_calls=[again]))
    known = {"id": "call_0", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages: list[Message] = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": None, "tool_calls": [known]},
        {"role": "tool", "tool_call_id": "call_0", "content": "sunny"},
        {"role": "user", "content": "and tomorrow?"},
    ]
    chunks = await collect(plugin, ChatRequest(messages=messages, tools=[WEATHER]))
    (call,) = (c for chunk in chunks for c in chunk.tool_calls)
    assert call.name == "weather"
    assert call.id
    assert call.id != "call_0"


@pytest.mark.parametrize("status", [400, 401, 402, 404, 429, 500, 503])
async def test_a_status_is_reported_unchanged(
    server: FaultyServer, plugin: Provider, status: int
) -> None:
    await server.behave(Script(fault=Fault.STATUS, status=status))
    with pytest.raises(StatusError) as caught:
        await collect(plugin)
    sent = Script(fault=Fault.STATUS, status=status).error()["error"]
    error = caught.value
    assert error.status == status
    assert (error.code, error.kind, error.detail) == (
        sent["code"],
        sent["type"],
        sent["message"],
    )
    assert sent["message"] not in str(error)
    assert len(server.requests) == 1, "sent again by the plugin"


async def test_retry_after_is_reported(server: FaultyServer, plugin: Provider) -> None:
    await server.behave(Script(fault=Fault.STATUS, status=429, retry_after="7"))
    with pytest.raises(StatusError) as caught:
        await collect(plugin)
    assert caught.value.retry_after == 7.0


async def test_a_refused_connection_is_unreachable(server: FaultyServer, plugin: Provider) -> None:
    await server.behave(Script(fault=Fault.REFUSE))
    with pytest.raises(UnreachableError):
        await collect(plugin)
    with pytest.raises(UnreachableError):
        await plugin.probe()
    await plugin.warm()


async def test_a_server_that_goes_silent_before_a_word_is_unreachable(server: FaultyServer) -> None:
    await server.behave(Script(fault=Fault.HEADERS_THEN_NOTHING))
    provider = make(through_livekit(server, timeout=0.05))
    with pytest.raises(UnreachableError):
        await collect(provider)
    await provider.aclose()


async def test_a_reset_before_a_word_is_unreachable(server: FaultyServer, plugin: Provider) -> None:
    await server.behave(Script(fault=Fault.RESET_BEFORE_WORD))
    with pytest.raises(UnreachableError):
        await collect(plugin)


async def test_a_reset_after_some_words_is_a_broken_stream(
    server: FaultyServer, plugin: Provider
) -> None:
    await server.behave(Script(fault=Fault.RESET_AFTER, after=2))
    chunks: list[Chunk] = []
    with pytest.raises(BrokenStreamError):
        await collect(plugin, into=chunks)
    assert text(chunks) == "Hello there"


async def test_an_error_inside_a_200_does_not_end_the_reply(
    server: FaultyServer, plugin: Provider
) -> None:
    await server.behave(Script(fault=Fault.ERROR_EVENT, after=2))
    with pytest.raises(UpstreamError):
        await collect(plugin)


@pytest.mark.parametrize("fault", [Fault.NO_FINISH_REASON, Fault.HALF_TOOL_CALL])
async def test_a_reply_that_is_cut_off_is_broken(
    server: FaultyServer, plugin: Provider, fault: Fault
) -> None:
    await server.behave(Script(fault=fault))
    chunks: list[Chunk] = []
    with pytest.raises(BrokenStreamError):
        await collect(plugin, into=chunks)
    assert text(chunks) == "".join(Script().words)
    assert not any(chunk.tool_calls or chunk.finish_reason for chunk in chunks)


async def test_a_tool_call_that_the_plugin_loses_is_an_error(
    server: FaultyServer, plugin: Provider
) -> None:
    piece = {"index": 0, "id": "c1", "function": {"name": "weather", "arguments": '{"ci'}}
    pieces = [event(chunk({"tool_calls": [piece]})), event(chunk({}, "length")), event("[DONE]")]
    await server.behave(Script(raw=pieces))
    with pytest.raises(BrokenStreamError):
        await collect(plugin, ChatRequest(messages=HELLO.messages, tools=[WEATHER]))


async def test_a_reply_that_reached_its_limit_ends_with_length(
    server: FaultyServer, plugin: Provider
) -> None:
    await server.behave(Script(raw=[event(chunk({"content": "We"}, "length")), event("[DONE]")]))
    assert (await collect(plugin))[-1].finish_reason == "length"


def pieces(*bodies: dict[str, Any] | str, done: bool = True) -> Script:
    texts = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
    return Script(raw=[event(one) for one in [*texts, *(["[DONE]"] * done)]])


def choice(content: str = "", finish: str | None = None, **fields: Any) -> dict[str, Any]:
    one = {"index": 0, "delta": {"content": content}, "finish_reason": finish, **fields}
    return {**chunk({}), "choices": [one]}


@pytest.mark.parametrize(
    "script",
    [
        pieces(choice("Nine"), choice(" sharp"), choice(finish="stop")),
        pieces(choice("Nine"), choice(" sharp", "stop"), done=False),
        pieces(choice("Nine", ""), choice(" sharp", "")),
        pieces(choice("Nine"), choice(" sharp")),
        pieces(choice("Nine", "stop"), choice(" sharp", "stop")),
        pieces(choice("Nine"), choice(" sharp"), choice(finish="stop"), {"error": {"code": 500}}),
        pieces(choice("Nine"), choice(" sharp"), choice(finish="stop"), "{oops"),
        Script(
            raw=[event(choice("Nine sharp")), event(choice(finish="stop"))],
            fault=Fault.RESET_AFTER,
        ),
    ],
)
async def test_a_whole_reply_is_whole_by_all_its_signs(
    server: FaultyServer, plugin: Provider, script: Script
) -> None:
    await server.behave(script)
    chunks = await collect(plugin)
    assert (text(chunks), chunks[-1].finish_reason) == ("Nine sharp", "stop")


@pytest.mark.parametrize(
    "last",
    [
        choice(finish="abort"),
        choice(finish="insufficient_system_resource"),
        choice(finish="MALFORMED_FUNCTION_CALL"),
        choice(finish="content_filter"),
        choice(finish="sensitive"),
        choice(finish="stop", native_finish_reason="abort"),
        choice(error={"code": 502, "message": "upstream"}),
    ],
)
async def test_a_reason_that_means_a_failure_is_one(
    server: FaultyServer, plugin: Provider, last: dict[str, Any]
) -> None:
    await server.behave(pieces(choice("We open"), choice(" at"), last))
    chunks: list[Chunk] = []
    with pytest.raises(StatusError):
        await collect(plugin, into=chunks)
    assert text(chunks) == "We open at"


async def test_halves_of_characters_are_joined_or_replaced(
    server: FaultyServer, plugin: Provider
) -> None:
    words = [choice("Great \ud83d"), choice("\ude00 and \udcaf work."), choice("\ud83d", "stop")]
    await server.behave(pieces(*words))
    assert text(await collect(plugin)) == "Great 😀 and \ufffd work.\ufffd"


async def test_the_options_of_a_request_reach_the_server(
    server: FaultyServer, plugin: Provider
) -> None:
    asked = ChatRequest(messages=HELLO.messages, top_p=0.9, max_tokens=7, stop=["."], seed=3)
    await collect(plugin, asked)
    body = server.requests[0].body
    options = [body[name] for name in ("top_p", "max_completion_tokens", "stop", "seed")]
    assert options == [0.9, 7, ["."], 3]


async def test_no_server_learns_of_the_room(server: FaultyServer) -> None:
    headers = {"X-LiveKit-Room-ID": "RM_secret", "X-LiveKit-Job-ID": "AJ_secret", "X-Team": "a"}
    provider = make(through_livekit(server, headers=headers))
    await collect(provider)
    await provider.models()
    await provider.aclose()
    for received in (server.requests[0].headers, server.other_requests[0][1]):
        assert "secret" not in "".join(v for n, v in received.items() if n != "authorization")
    assert server.requests[0].headers["x-team"] == "a"


async def test_a_refused_key_differs_from_a_server_that_is_down() -> None:
    async with FaultyServer(pages={"/v1/models": None}) as faulty:
        provider = make(through_livekit(faulty))
        with pytest.raises(StatusError) as caught:
            await provider.probe()
        await provider.aclose()
    assert caught.value.status == 404


async def test_closing_a_reply_makes_the_server_stop(
    server: FaultyServer, plugin: Provider
) -> None:
    await server.behave(Script(fault=Fault.STALL_AFTER, after=1))
    async with aclosing(plugin.stream(HELLO)) as stream:
        async for chunk in stream:
            if chunk.useful:
                break
    assert await server.disconnected(0) is not None


async def test_cancelling_makes_the_server_stop(server: FaultyServer, plugin: Provider) -> None:
    await server.behave(Script(fault=Fault.HANG_BEFORE_HEADERS))
    reading = asyncio.create_task(collect(plugin))
    await server.received(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await server.disconnected(0) is not None


# --- Creating one from a connection ------------------------------------------------------------


def named(server: str, **fields: Any) -> Connection:
    return Connection(name="mine", provider="livekit_plugin", server=server, **fields)


async def test_a_missing_plugin_is_named_with_the_package_to_install() -> None:
    with pytest.raises(ConfigurationError, match="pip install livekit-plugins-no-such-thing") as e:
        make(named("no_such_thing"))
    assert "'mine'" in str(e.value)


@pytest.mark.parametrize("server", ["", "os.path", "../evil", "with space"])
async def test_a_name_that_cannot_be_a_plugin_is_refused(server: str) -> None:
    with pytest.raises(ConfigurationError, match="must name a LiveKit plugin"):
        make(named(server))


@pytest.mark.parametrize(("kind", "plugin"), [("openai", "openai"), ("groq", "groq")])
async def test_without_a_server_the_type_selects_the_plugin(kind: Any, plugin: str) -> None:
    with pytest.raises(ConfigurationError, match=f"LiveKit plugin '{plugin}'"):
        make(named("", connection_type=kind, region="", api_key="", model_name="m"))


async def test_a_plugin_without_a_language_model_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="has no language model"):
        make(named("silero"))


async def test_a_plugins_error_is_reported_without_the_key() -> None:
    with pytest.raises(ConfigurationError, match="LiveKit plugin 'openai'") as caught:
        make(named("openai", api_key="", model_name="m"))
    assert "API key" in str(caught.value)


async def test_a_continuation_that_plugins_lack_is_refused() -> None:
    with pytest.raises(ConfigurationError, match='use "words" or "trailing"'):
        make(named("openai", api_key="sk-secret", continuation="flags"))


async def test_the_connections_fields_reach_the_server(server: FaultyServer) -> None:
    connection = through_livekit(
        server,
        temperature=0.3,
        max_tokens=50,
        headers={"X-Team": "voice"},
        extra_body={"top_k": 5},
    )
    provider = make(connection)
    await collect(provider)
    await provider.aclose()
    (received,) = server.requests
    assert (received.body["model"], received.body["temperature"]) == ("faulty", 0.3)
    assert (received.body["max_completion_tokens"], received.body["top_k"]) == (50, 5)
    assert received.headers["x-team"] == "voice"
    assert received.headers["authorization"] == "Bearer sk-secret"
