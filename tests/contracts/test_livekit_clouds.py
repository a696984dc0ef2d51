"""Tests Anthropic and Amazon Bedrock through LiveKit's plugins.

The servers are test servers that answer as the vendors' documents say; no account was used.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest
from livekit.agents import llm

from llm_router.classification import classify
from llm_router.errors import (
    BrokenStreamError,
    ConfigurationError,
    StatusError,
    UnreachableError,
    UpstreamError,
)
from llm_router.failures import FailureClass, failure_before_a_word
from llm_router.testing.server import Fault, Script
from llm_router.testing.vendor_replies import (
    anthropic_event,
    frame,
)
from llm_router.types import ChatRequest, Chunk, Message, ToolCall
from tests.contracts.asking import HELLO, WEATHER, collect, text
from tests.contracts.clouds import CLOUDS, WORDS, Open, opened

CALL = ToolCall("toolu_1", "weather", '{"city": "Rome"}')


@pytest.fixture(params=sorted(CLOUDS))
async def cloud(request: pytest.FixtureRequest) -> AsyncIterator[Open]:
    async with opened(request.param) as made:
        yield made


# --- Replies


async def test_text_comes_with_a_finish_reason_and_usage(cloud: Open) -> None:
    chunks = await collect(cloud.provider)
    assert text(chunks) == "".join(WORDS)
    assert chunks[-1].finish_reason == "stop"
    (usage,) = (chunk.usage for chunk in chunks if chunk.usage)
    assert (usage.prompt_tokens, usage.completion_tokens) == (12, len(WORDS))
    assert len(cloud.server.requests) == 1


async def test_a_tool_call_comes_complete_and_once(cloud: Open) -> None:
    await cloud.behave(calls=[CALL])
    chunks = await collect(cloud.provider, replace(HELLO, tools=[WEATHER]))
    assert [call for chunk in chunks for call in chunk.tool_calls] == [CALL]
    assert chunks[-1].finish_reason == "tool_calls"
    assert "weather" in json.dumps(dict(cloud.body()))


@pytest.mark.parametrize(
    ("stop", "reason"),
    [("max_tokens", "length"), ("stop_sequence", "stop"), ("end_turn", "stop")],
)
async def test_the_finish_reason_has_openais_name(cloud: Open, stop: str, reason: str) -> None:
    await cloud.behave(*WORDS, stop=stop)
    assert (await collect(cloud.provider))[-1].finish_reason == reason


async def test_an_empty_reply_is_recognised(cloud: Open) -> None:
    await cloud.behave()
    chunks = await collect(cloud.provider)
    assert not any(chunk.useful for chunk in chunks)
    failure = failure_before_a_word(chunks[-1])
    assert failure
    assert failure.kind is FailureClass.EMPTY


async def test_a_reply_without_a_finish_reason_is_broken(cloud: Open) -> None:
    await cloud.behave(*WORDS[:2], stop=None)
    chunks: list[Chunk] = []
    with pytest.raises(BrokenStreamError):
        await collect(cloud.provider, into=chunks)
    assert text(chunks) == "We open"


async def test_a_reset_in_the_middle_is_a_broken_stream(cloud: Open) -> None:
    await cloud.behave(*WORDS, stop=None, fault=Fault.RESET_AFTER)
    chunks: list[Chunk] = []
    with pytest.raises(BrokenStreamError):
        await collect(cloud.provider, into=chunks)
    assert text(chunks) == "".join(WORDS)


@pytest.mark.parametrize("stop", ["max_tokens", "tool_use", None])
async def test_an_incomplete_tool_call_is_not_yielded(cloud: Open, stop: str | None) -> None:
    whole = cloud.cloud.says((), [CALL], stop=stop)
    # Without the second half of the arguments and the end of their block.
    pieces = [p for p in whole if b'Rome"' not in p and b"lockStop" not in p and b"_stop" not in p]
    pieces += [p for p in whole if b"message_delta" in p or b"messageStop" in p]
    await cloud.server.behave(cloud.cloud.sending(pieces))
    chunks: list[Chunk] = []
    with pytest.raises(BrokenStreamError):
        await collect(cloud.provider, replace(HELLO, tools=[WEATHER]), into=chunks)
    assert not any(chunk.tool_calls for chunk in chunks)


# --- Refusals

REFUSALS = [
    ("anthropic", 401, "authentication_error", "invalid x-api-key", FailureClass.REJECTED_KEY),
    ("anthropic", 404, "not_found_error", "model: claude-9", FailureClass.MODEL_MISSING),
    ("anthropic", 429, "rate_limit_error", "Number of requests", FailureClass.RATE_LIMITED),
    ("anthropic", 529, "overloaded_error", "Overloaded", FailureClass.OVERLOADED),
    ("anthropic", 500, "api_error", "Internal server error", FailureClass.OVERLOADED),
    (
        "anthropic", 400, "invalid_request_error",
        "prompt is too long: 213462 tokens > 200000 maximum", FailureClass.TOO_LONG,
    ),
    (
        "anthropic", 400, "invalid_request_error",
        "Your credit balance is too low to access the Anthropic API.", FailureClass.OUT_OF_CREDIT,
    ),
    ("anthropic", 400, "invalid_request_error", "messages: roles", FailureClass.BAD_REQUEST),
    ("bedrock", 403, "AccessDeniedException", "no access", FailureClass.REJECTED_KEY),
    ("bedrock", 403, "UnrecognizedClientException", "token invalid", FailureClass.REJECTED_KEY),
    ("bedrock", 404, "ResourceNotFoundException", "Could not find it", FailureClass.MODEL_MISSING),
    ("bedrock", 429, "ThrottlingException", "Too many requests", FailureClass.RATE_LIMITED),
    ("bedrock", 503, "ServiceUnavailableException", "Try again", FailureClass.OVERLOADED),
    (
        "bedrock", 400, "ValidationException", "Input is too long for requested model.",
        FailureClass.TOO_LONG,
    ),
    ("bedrock", 400, "ValidationException", "Malformed input", FailureClass.BAD_REQUEST),
]  # fmt: skip


@pytest.mark.parametrize(("name", "status", "kind", "message", "meant"), REFUSALS)
async def test_a_refusal_is_classified_and_not_retried(
    name: str, status: int, kind: str, message: str, meant: FailureClass
) -> None:
    async with opened(name) as cloud:
        body = cloud.cloud.refusal(status, kind, message)
        script = Script(fault=Fault.STATUS, status=status, error_body=body, retry_after="7")
        await cloud.server.behave(script)
        with pytest.raises(StatusError) as caught:
            await collect(cloud.provider)
        assert len(cloud.server.requests) == 1
    assert (caught.value.status, caught.value.retry_after) == (status, 7.0)
    assert classify(caught.value).kind is meant
    assert message not in str(caught.value)


SLOW, BROKEN = {"message": "slow down"}, {"message": "the model broke"}
INSIDE = [
    ("anthropic", anthropic_event("error", error={"type": "overloaded_error"}), "overloaded"),
    ("bedrock", frame("throttlingException", SLOW, exception=True), "rate limited"),
    ("bedrock", frame("modelStreamErrorException", BROKEN, exception=True), "broken stream"),
]


@pytest.mark.parametrize(("name", "event", "kind"), INSIDE)
async def test_an_error_inside_a_reply_does_not_end_it(name: str, event: bytes, kind: str) -> None:
    async with opened(name) as cloud:
        pieces = [*cloud.cloud.says(WORDS[:2], (), stop=None), event]
        await cloud.server.behave(cloud.cloud.sending(pieces))
        chunks: list[Chunk] = []
        with pytest.raises(UpstreamError) as caught:
            await collect(cloud.provider, into=chunks)
    assert text(chunks) == "We open"
    assert classify(caught.value).kind == kind


async def test_an_address_without_a_server_is_unreachable(cloud: Open) -> None:
    await cloud.server.behave(Script(fault=Fault.REFUSE))
    with pytest.raises(UnreachableError):
        await collect(cloud.provider)


# --- Closing


async def test_closing_a_reply_makes_the_server_stop(cloud: Open) -> None:
    await cloud.behave(*WORDS, stop=None, fault=Fault.STALL_AFTER)
    async with aclosing(cloud.provider.stream(HELLO)) as stream:
        async for chunk in stream:
            if chunk.useful:
                break
    assert await cloud.server.disconnected(0) is not None


async def test_cancelling_makes_the_server_stop(cloud: Open) -> None:
    await cloud.server.behave(Script(fault=Fault.HANG_BEFORE_HEADERS))
    reading = asyncio.create_task(collect(cloud.provider))
    await cloud.server.received(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await cloud.server.disconnected(0) is not None


async def test_a_tcp_connection_is_reused_between_replies(cloud: Open) -> None:
    for _ in range(3):
        await collect(cloud.provider)
    assert cloud.server.connections == 1


# --- Requests

FOREIGN = "functions.weather:0"
HISTORY: list[Message] = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Weather?"},
    {
        "role": "assistant",
        "content": "Let me look.",
        "tool_calls": [
            {
                "id": FOREIGN,
                "type": "function",
                "function": {"name": "weather", "arguments": '{"city": "Rome"}'},
                "extra_content": {"google": {"thought_signature": "x"}},
            }
        ],
    },
    {"role": "tool", "tool_call_id": FOREIGN, "content": "sunny"},
    {"role": "assistant", "content": "It is sunny."},
]


async def test_a_history_of_another_vendor_is_corrected(cloud: Open) -> None:
    await collect(cloud.provider, ChatRequest(messages=HISTORY, tools=[WEATHER]))
    assert cloud.system() == "Be kind."
    messages = cloud.body()["messages"]
    roles = [message["role"] for message in messages]
    assert roles == ["user", "assistant", "user", "assistant", "user"]
    said = json.dumps(messages)
    assert FOREIGN not in said
    assert "thought_signature" not in said
    if cloud.cloud.name == "anthropic":
        made, answered = messages[1]["content"][-1]["id"], messages[2]["content"][0]["tool_use_id"]
    else:
        made = messages[1]["content"][-1]["toolUse"]["toolUseId"]
        answered = messages[2]["content"][0]["toolResult"]["toolUseId"]
    assert made == answered
    assert made.isalnum()


async def test_livekits_own_history_stays_unchanged(cloud: Open) -> None:
    context = llm.ChatContext.empty()
    context.add_message(role="user", content="Weather?")
    call = llm.FunctionCall(call_id=FOREIGN, name="weather", arguments="{}", extra={"google": "x"})
    result = llm.FunctionCallOutput(call_id=FOREIGN, name="weather", output="sunny", is_error=False)
    context.items += [call, result]
    await collect(
        cloud.provider, ChatRequest(messages=[], livekit_context=context, tools=[WEATHER])
    )
    assert FOREIGN not in json.dumps(cloud.body()["messages"])
    assert (call.call_id, call.extra) == (FOREIGN, {"google": "x"})


async def test_an_older_claude_continues_another_models_reply(cloud: Open) -> None:
    assert cloud.provider.continuation == "trailing"
    await collect(cloud.provider, replace(HELLO, prefix="We open "))
    last = cloud.body()["messages"][-1]
    assert (last["role"], last["content"][0]["text"]) == ("assistant", "We open")


@pytest.mark.parametrize("name", sorted(CLOUDS))
@pytest.mark.parametrize("model", ["claude-sonnet-4-6", "claude-opus-5-5", "amazon.nova-lite-v1:0"])
async def test_a_newer_model_is_asked_in_words(name: str, model: str) -> None:
    async with opened(name, model_name=model) as cloud:
        assert cloud.provider.continuation == "words"
        await collect(cloud.provider, replace(HELLO, prefix="We open "))
        assert cloud.body()["messages"][-1]["role"] == "user"


async def test_the_options_of_a_request_reach_the_server(cloud: Open) -> None:
    request = replace(HELLO, temperature=0.3, top_p=0.9, max_tokens=7, stop=["."])
    await collect(cloud.provider, request)
    body = cloud.body()
    if cloud.cloud.name == "anthropic":
        assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.3, 0.9, 7)
        assert (body["stop_sequences"], body["stream"]) == (["."], True)
    else:
        expected = {"temperature": 0.3, "topP": 0.9, "maxTokens": 7, "stopSequences": ["."]}
        assert body["inferenceConfig"] == expected


async def test_the_key_is_sent_and_nothing_about_the_room(cloud: Open) -> None:
    await collect(cloud.provider)
    headers = cloud.server.requests[0].headers
    if cloud.cloud.name == "anthropic":
        assert headers["x-api-key"] == "sk-secret"
    else:
        assert "Credential=AKIDEXAMPLE/" in headers["authorization"]
        assert "/eu-west-1/bedrock/" in headers["authorization"]
    assert "sk-secret" not in headers.get("authorization", "")
    assert not [name for name in headers if name.startswith("x-livekit")]


async def test_anthropic_lists_its_models() -> None:
    listed = {"data": [{"type": "model", "id": "claude-x"}], "has_more": False}
    async with opened("anthropic") as cloud:
        cloud.server.pages["/v1/models"] = listed
        assert await cloud.provider.models() == ["claude-x"]
        await cloud.provider.probe()
    async with opened("anthropic") as cloud:
        await cloud.server.behave(Script(fault=Fault.REFUSE))
        for question in (cloud.provider.models, cloud.provider.probe):
            with pytest.raises(UnreachableError):
                await question()


@pytest.mark.parametrize("key", ["AKIDEXAMPLE", ":", "a:b:c:d"])
async def test_half_a_pair_of_keys_is_refused_with_the_name(key: str) -> None:
    with pytest.raises(ConfigurationError, match="ACCESS_KEY_ID:SECRET_ACCESS_KEY") as caught:
        async with opened("bedrock", api_key=key):
            pass
    assert f"'{key}'" not in str(caught.value)
