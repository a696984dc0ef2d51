"""Tests that a vendor gets back what it sent with a call or a message, and that no other does."""

import json
from typing import Any

import pytest
from livekit.agents import llm

from llm_router import open_router
from llm_router.connections.record import Connection
from llm_router.integrations.livekit import RouterLLM
from llm_router.providers._wire.extras import from_livekit, origin_of, to_livekit
from llm_router.providers.livekit_plugin.chat import chat_context
from llm_router.testing.server import FaultyServer, Script
from llm_router.types import ChatRequest, Chunk, ToolCall
from tests.contracts.wire import call, calls, delta, reply_to, request_body, serve, sse, text

SIGNED = {"google": {"thought_signature": "c2lnbmVk"}}
HOURS: dict[str, Any] = call("hours", "{}", index=0, id="c1")
QUESTION = {"role": "user", "content": "Open?"}
TOOL = {"type": "function", "function": {"name": "hours", "description": "", "parameters": {}}}
ASKED = ChatRequest(messages=[QUESTION], tools=[TOOL])


@llm.function_tool
async def hours() -> str:
    """Tells the hours."""
    return "9 to 5"


def history(made: ToolCall) -> ChatRequest:
    """Returns the request that follows a tool call."""
    function = {"name": made.name, "arguments": made.arguments}
    calling = {"id": made.id, "type": "function", "function": function, "extras": made.extras}
    return ChatRequest(
        messages=[
            QUESTION,
            {"role": "assistant", "content": None, "tool_calls": [calling]},
            {"role": "tool", "tool_call_id": made.id, "content": "9 to 5"},
        ]
    )


async def sent_back(script: Script, *, model: str, to: str) -> dict[str, Any]:
    """Returns the assistant's message that `to` gets after `model` has called a tool."""
    chunks = await reply_to(script, ASKED, model_name=model)
    [made] = [made for chunk in chunks for made in chunk.tool_calls]
    body = await request_body(history(made), model_name=to)
    return dict(body["messages"][1])


@pytest.mark.parametrize(
    ("model", "events", "in_message", "in_call"),
    [
        pytest.param(
            "gemini-3-flash-preview",
            [calls({**HOURS, "extra_content": SIGNED}, finish="tool_calls")],
            {},
            {"extra_content": SIGNED},
            id="Gemini signs the call",
        ),
        pytest.param(
            "google/gemini-3-pro",
            [calls(HOURS), delta("tool_calls", content="", extra_content=SIGNED)],
            {"extra_content": SIGNED},
            {},
            id="Gemini signs in a delta of its own",
        ),
        pytest.param(
            "gemini-3-pro",
            [calls(HOURS), calls({"index": 0, "function": {}, "extra_content": SIGNED}),
             delta("tool_calls")],
            {},
            {"extra_content": SIGNED},
            id="the signature comes with a later piece of the call",
        ),
        pytest.param(
            "deepseek-reasoner",
            [delta(reasoning_content="I look "), delta(reasoning_content="it up."),
             calls(HOURS, finish="tool_calls")],
            {"reasoning_content": "I look it up."},
            {},
            id="DeepSeek and Kimi want their reasoning back",
        ),
        pytest.param(
            "openai/gpt-oss-120b",
            [delta(reasoning="Look."), calls(HOURS, finish="tool_calls")],
            {"reasoning": "Look."},
            {},
            id="reasoning under its other name",
        ),
        pytest.param(
            "anthropic/claude-sonnet-4.5",
            [
                delta(reasoning_details=[{"type": "reasoning.text", "index": 0, "text": "I "}]),
                delta(reasoning_details=[{"type": "reasoning.text", "index": 0, "text": "look."}]),
                delta(reasoning_details=[
                    {"type": "reasoning.text", "index": 0, "signature": "sig", "text": None}]),
                delta(reasoning_details=[{"type": "reasoning.encrypted", "index": 1, "data": "x"}]),
                calls(HOURS, finish="tool_calls"),
            ],
            {
                "reasoning_details": [
                    {"type": "reasoning.text", "index": 0, "text": "I look.", "signature": "sig"},
                    {"type": "reasoning.encrypted", "index": 1, "data": "x"},
                ]
            },
            {},
            id="OpenRouter's details, in pieces",
        ),
        pytest.param(
            "gemini-3-pro",
            [calls({**HOURS, "provider_specific_fields": {"thought_signature": "s"}},
                   finish="tool_calls")],
            {},
            {"provider_specific_fields": {"thought_signature": "s"}},
            id="LiteLLM's fields, in the call",
        ),
        pytest.param(
            "claude-opus",
            [delta(thinking_blocks=[{"type": "thinking", "thinking": "Hm"}]),
             delta(thinking_blocks=[{"type": "thinking", "thinking": "m.", "signature": "s"}]),
             calls(HOURS, finish="tool_calls")],
            {"thinking_blocks": [{"type": "thinking", "thinking": "Hmm.", "signature": "s"}]},
            {},
            id="LiteLLM's thinking blocks",
        ),
    ],
)  # fmt: skip
async def test_a_vendor_gets_back_what_it_sent_and_another_does_not(
    model: str, events: list[Any], in_message: dict[str, Any], in_call: dict[str, Any]
) -> None:
    message = await sent_back(sse(*events), model=model, to=model)
    function = {"name": "hours", "arguments": "{}"}
    whole = {"id": "c1", "type": "function", "function": function, **in_call}
    assert message == {"role": "assistant", "content": None, "tool_calls": [whole], **in_message}
    other = await sent_back(sse(*events), model=model, to="llama-3.3-70b")
    plain = {"id": "c1", "type": "function", "function": function}
    assert other == {"role": "assistant", "content": None, "tool_calls": [plain]}


async def test_fields_within_the_function_return_to_it() -> None:
    piece = {"index": 0, "id": "c1"}
    function = {"name": "hours", "arguments": "{}", "provider_specific_fields": {"a": "b"}}
    script = sse(calls({**piece, "function": function}, finish="tool_calls"))
    message = await sent_back(script, model="gemini-3-pro", to="gemini-3-flash")
    assert message["tool_calls"][0]["function"] == function


async def test_only_the_first_of_several_calls_carries_what_belongs_to_the_message() -> None:
    two = [HOURS, call("hours", "{}", index=1, id="c2", extra_content=SIGNED)]
    reply = sse(delta(reasoning_content="Both."), calls(*two, finish="tool_calls"))
    chunks = await reply_to(reply, ASKED, model_name="kimi-k2-thinking")
    [first, second] = chunks[-1].tool_calls
    assert first.extras == {
        "origin": "kimi", "call": {}, "message": {"reasoning_content": "Both."}
    }  # fmt: skip
    assert second.extras == {"origin": "kimi", "call": {"extra_content": SIGNED}, "message": {}}


async def test_a_call_without_extras_has_none() -> None:
    chunks = await reply_to(sse(calls(HOURS, finish="tool_calls")), ASKED)
    assert chunks[-1].tool_calls == (ToolCall("c1", "hours", "{}"),)
    assert chunks[-1].extras is None


async def test_words_are_returned_with_their_signature_and_without_their_reasoning() -> None:
    reply = sse(
        delta(reasoning_content="Hm."), delta(content="At nine."), delta(extra_content=SIGNED),
        delta("stop"),
    )  # fmt: skip
    chunks = await reply_to(reply, model_name="gemini-3-pro")
    assert text(chunks) == "At nine."
    said = {"role": "assistant", "content": "At nine.", "extras": chunks[-1].extras}
    request = ChatRequest(messages=[QUESTION, said, QUESTION])
    body = await request_body(request, model_name="gemini-3-flash")
    assert body["messages"][1] == {
        "role": "assistant", "content": "At nine.", "extra_content": SIGNED,
    }  # fmt: skip
    body = await request_body(request, model_name="gpt-5")
    assert body["messages"][1] == {"role": "assistant", "content": "At nine."}


async def test_what_is_too_large_to_travel_with_a_history_is_left_out_and_texts_are_cut() -> None:
    details = [{"type": "reasoning.encrypted", "data": "x" * 1000}]
    more = [delta(reasoning_content="y" * 1000, reasoning_details=details)] * 100
    chunks = await reply_to(sse(*more, calls(HOURS, finish="tool_calls")), ASKED, model_name="kimi")
    [made] = chunks[-1].tool_calls
    assert made.extras
    assert list(made.extras["message"]) == ["reasoning_content"]
    assert len(json.dumps(made.extras)) < 70_000
    big = {**HOURS, "extra_content": {"google": "z" * 70_000}}
    chunks = await reply_to(sse(calls(big, finish="tool_calls")), ASKED, model_name="gemini-3")
    assert chunks[-1].tool_calls[0].extras is None


@pytest.mark.parametrize("extras", [[], "x", {"origin": 1}, {"origin": "gemini", "call": "x"}])
async def test_extras_that_make_no_sense_are_left_out(extras: Any) -> None:
    made = ToolCall("c1", "hours", "{}", extras)
    body = await request_body(history(made), model_name="gemini-3")
    assert body["messages"][1]["tool_calls"][0].keys() == {"id", "type", "function"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("gemini-3-pro", "models/gemini-3-flash-preview", True),
        ("deepseek-chat", "deepseek-ai/DeepSeek-V3.2", True),
        ("us.anthropic.claude-sonnet-4", "claude-opus-4", True),
        ("kimi-k2", "deepseek-chat", False),
        ("my-model", "my-model", True),
        ("my-model", "your-model", False),
    ],
)
def test_models_of_one_family_share_extras(one: str, other: str, *, same: bool) -> None:
    assert (origin_of(one, "http://box/v1") == origin_of(other, "http://box/v1")) is same


def test_models_without_a_family_share_extras_only_at_the_same_server() -> None:
    assert origin_of("m", "http://one:1/v1") != origin_of("m", "http://two:1/v1")
    assert "secret" not in origin_of("m", "http://me:secret@one:1/v1")


# ── Through LiveKit's history ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("model", "events", "extra"),
    [
        (
            "gemini-3-pro",
            [calls({**HOURS, "extra_content": SIGNED}, finish="tool_calls")],
            SIGNED,
        ),
        (
            "deepseek-reasoner",
            [delta(reasoning_content="Look."), calls(HOURS, finish="tool_calls")],
            {
                "patchbay_extras": {
                    "origin": "deepseek", "call": {}, "message": {"reasoning_content": "Look."},
                }
            },
        ),
        ("qwen3", [calls(HOURS, finish="tool_calls")], {}),
    ],
)  # fmt: skip
async def test_extras_go_through_livekits_history(
    model: str, events: list[Any], extra: dict[str, Any]
) -> None:
    context = llm.ChatContext.empty()
    context.add_message(role="user", content="Open?")
    async with FaultyServer([sse(*events), Script()].__getitem__) as server:
        connection = Connection(name="a", base_url=server.base_url, model_name=model)
        async with open_router([connection]) as router:
            async with RouterLLM(router).chat(chat_ctx=context, tools=[hours]) as stream:
                made = [c for chunk in stream_deltas(await all_of(stream)) for c in chunk]
            assert [one.extra or {} for one in made] == [extra]
            for one in made:
                item = llm.FunctionCall(
                    call_id=one.call_id, name=one.name, arguments=one.arguments,
                    extra=one.extra or {},
                )  # fmt: skip
                output = llm.FunctionCallOutput(
                    call_id=one.call_id, name=one.name, output="9 to 5", is_error=False
                )
                context.insert([item, output])
            stored = llm.ChatContext.from_dict(context.to_dict())
            async with RouterLLM(router).chat(chat_ctx=stored) as stream:
                await all_of(stream)
    asked = server.requests[-1].body["messages"][1]
    direct = await sent_back(sse(*events), model=model, to=model)
    assert asked == direct


async def all_of(stream: llm.LLMStream) -> list[llm.ChatChunk]:
    return [chunk async for chunk in stream]


def stream_deltas(chunks: list[llm.ChatChunk]) -> list[list[llm.FunctionToolCall]]:
    return [chunk.delta.tool_calls for chunk in chunks if chunk.delta]


async def test_a_signature_of_words_goes_through_livekits_history() -> None:
    script = sse(delta(content="At nine."), delta("stop", extra_content=SIGNED))
    async with FaultyServer([script, Script()].__getitem__) as server:
        connection = Connection(name="a", base_url=server.base_url, model_name="gemini-3")
        context = llm.ChatContext.empty()
        context.add_message(role="user", content="Open?")
        async with open_router([connection]) as router:
            model = RouterLLM(router)
            said = await model.chat(chat_ctx=context).collect()
            context.add_message(role="assistant", content=said.text, extra=said.extra)
            context.add_message(role="user", content="Thanks.")
            await model.chat(chat_ctx=context).collect()
    assert said.extra["google"] == SIGNED["google"]
    assert server.requests[-1].body["messages"][1] == {
        "role": "assistant", "content": "At nine.", "extra_content": SIGNED,
    }  # fmt: skip


async def test_a_signature_made_by_livekits_own_plugins_is_returned_to_gemini_alone() -> None:
    context = llm.ChatContext.empty()
    context.add_message(role="user", content="Open?")
    made = llm.FunctionCall(call_id="c1", name="hours", arguments="{}", extra=SIGNED)
    context.insert(made)
    context.insert(
        llm.FunctionCallOutput(call_id="c1", name="hours", output="9 to 5", is_error=False)
    )
    for model, extras in (("gemini-3-pro", {"extra_content": SIGNED}), ("gpt-5", {})):
        async with serve(Script(), model_name=model) as (server, _):
            connection = Connection(name="a", base_url=server.base_url, model_name=model)
            async with open_router([connection]) as router:
                await RouterLLM(router).chat(chat_ctx=context).collect()
            sent = server.requests[-1].body["messages"][1]["tool_calls"][0]
        assert {n: v for n, v in sent.items() if n == "extra_content"} == extras


@pytest.mark.parametrize(("origin", "received"), [("gemini", SIGNED), ("claude", {})])
def test_a_plugin_gets_back_the_extras_of_its_own_family(
    origin: str, received: dict[str, Any]
) -> None:
    made = ToolCall("c1", "hours", "{}", {"origin": "gemini", "call": {"extra_content": SIGNED}})
    [_, item, _] = chat_context(history(made), "", origin=origin).items
    assert isinstance(item, llm.FunctionCall)
    assert item.extra == received


def test_livekits_form_keeps_all_extras() -> None:
    extras = {
        "origin": "gemini", "call": {"extra_content": SIGNED}, "message": {"reasoning": "Hm."}
    }  # fmt: skip
    extra = to_livekit(extras)
    assert extra["google"] == SIGNED["google"]  # where LiveKit's own plugins look for it
    assert from_livekit(extra) == {"extras": extras}
    assert to_livekit(None) == {}
    assert from_livekit({"patchbay": {}, "other": 1}) == {}


def test_a_chunk_keeps_its_extras_when_it_is_given_out() -> None:
    extras = {"origin": "gemini", "message": {}}
    assert Chunk("a", extras=extras).given_out("b", "box") == Chunk(
        "b", connection="box", extras=extras
    )


async def test_half_a_character_in_extras_is_replaced() -> None:
    half = '{"choices": [{"delta": {"reasoning_content": "\\ud83d", "tool_calls": [{"id": "c1", "function": {"name": "hours", "arguments": "{}"}}]}, "finish_reason": "tool_calls"}]}'  # noqa: E501
    chunks = await reply_to(sse(half), ASKED, model_name="kimi")
    [made] = chunks[-1].tool_calls
    assert made.extras
    assert made.extras["message"] == {"reasoning_content": "\ufffd"}


async def test_extras_nested_without_end_are_left_out() -> None:
    event = json.dumps(calls({**HOURS, "x": "DEEP"}, finish="tool_calls"))
    event = event.replace('"DEEP"', "[" * 900 + "]" * 900)
    chunks = await reply_to(sse(event), ASKED, model_name="kimi")
    assert [made.name for chunk in chunks for made in chunk.tool_calls] == ["hours"]
