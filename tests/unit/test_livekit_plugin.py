"""Tests the LiveKit provider with scripted LLMs, for behaviour that no server can produce."""

from typing import Any, ClassVar

import pytest
from livekit.agents import APIConnectionError, APIStatusError, APITimeoutError, llm

from llm_router.classification import classify
from llm_router.connections.record import Connection
from llm_router.errors import BrokenStreamError, StatusError, UnreachableError
from llm_router.failures import FailureClass
from llm_router.providers.livekit_plugin.plugins import PLUGINS, can_continue
from llm_router.providers.livekit_plugin.provider import from_llm
from llm_router.routing.eligibility import fitted, reductions
from llm_router.routing.endpoint import Endpoint
from llm_router.types import ChatRequest, Chunk, ToolCall
from tests.contracts.asking import HELLO, WEATHER, collect, text


class OwnLLM(llm.LLM[Any]):
    """Follows a script: yields each chunk and raises each error, in order."""

    def __init__(self, *script: llm.ChatChunk | Exception) -> None:
        super().__init__()
        self.script = script
        self.asked: list[dict[str, Any]] = []
        self.streams: list[OwnStream] = []
        self.closed = False

    def chat(self, **asked: Any) -> llm.LLMStream:
        self.asked.append(asked)
        stream = OwnStream(
            self,
            chat_ctx=asked["chat_ctx"],
            tools=asked["tools"],
            conn_options=asked["conn_options"],
        )
        self.streams.append(stream)
        return stream

    async def aclose(self) -> None:
        self.closed = True
        await super().aclose()


class OwnStream(llm.LLMStream):
    was_closed = False

    async def _run(self) -> None:
        assert isinstance(self._llm, OwnLLM)
        for act in self._llm.script:
            if isinstance(act, Exception):
                raise act
            self._event_ch.send_nowait(act)

    async def aclose(self) -> None:
        self.was_closed = True
        await super().aclose()


ABOUT_WEATHER = ChatRequest(messages=HELLO.messages, tools=[WEATHER])


def said(content: str) -> llm.ChatChunk:
    return llm.ChatChunk(id="1", delta=llm.ChoiceDelta(role="assistant", content=content))


def calling(name: str, arguments: str, call_id: str = "c1", **extra: Any) -> llm.ChatChunk:
    call = llm.FunctionToolCall(name=name, arguments=arguments, call_id=call_id, extra=extra)
    return llm.ChatChunk(id="1", delta=llm.ChoiceDelta(tool_calls=[call]))


async def test_an_llm_object_is_asked_once_and_not_closed() -> None:
    own = OwnLLM(said("Hello"), said(" there"))
    provider = from_llm(own)
    chunks = await collect(provider)
    await provider.aclose()
    assert text(chunks) == "Hello there"
    assert chunks[-1].finish_reason == "stop"
    assert own.asked[0]["conn_options"].max_retry == 0
    assert own.streams[0].was_closed
    assert not own.closed


async def test_json_is_asked_for_in_words_where_a_plugin_cannot_pass_it_on() -> None:
    asked = ChatRequest(messages=[], response_format={"type": "json_object"})
    own = from_llm(OwnLLM())
    assert [*reductions(Endpoint(Connection(name="a"), own), asked, 0)] == ["json"]
    lacking = {name for name, row in PLUGINS.items() if "response_format" not in row.options}
    assert lacking == {"anthropic", "aws", "google"}
    sent = fitted(Endpoint(Connection(name="a"), own), asked)
    assert sent.response_format is None
    assert "JSON" in str(sent.messages)


async def test_livekits_retries_are_switched_off() -> None:
    own = OwnLLM(APIConnectionError())
    with pytest.raises(UnreachableError):
        await collect(from_llm(own))
    assert len(own.asked) == 1


@pytest.mark.parametrize(
    "error",
    [APIConnectionError("sk-secret"), APITimeoutError("sk-secret"), TimeoutError("sk-secret")],
)
async def test_a_lost_connection_is_unreachable_before_text_and_broken_after(
    error: Exception,
) -> None:
    with pytest.raises(UnreachableError) as before:
        await collect(from_llm(OwnLLM(error)))
    with pytest.raises(BrokenStreamError) as after:
        await collect(from_llm(OwnLLM(said("Hello"), error)))
    assert "sk-secret" not in f"{before.value}{after.value}"


async def test_a_status_without_a_body_is_reported() -> None:
    with pytest.raises(StatusError) as caught:
        await collect(from_llm(OwnLLM(APIStatusError("the caller said x", status_code=503))))
    assert (caught.value.status, caught.value.detail) == (503, "the caller said x")
    assert "the caller said x" not in str(caught.value)


async def test_a_bug_in_an_llm_stays_a_bug() -> None:
    with pytest.raises(ZeroDivisionError):
        await collect(from_llm(OwnLLM(ZeroDivisionError())))


async def test_an_object_that_has_nothing_to_say_yields_nothing() -> None:
    assert await collect(from_llm(OwnLLM())) == []


@pytest.mark.parametrize("arguments", ['{"city": "Ro', "[1]", '"Rome"'])
async def test_an_incomplete_tool_call_is_never_yielded(arguments: str) -> None:
    own = OwnLLM(said("One moment."), calling("weather", arguments))
    chunks: list[Chunk] = []
    with pytest.raises(BrokenStreamError):
        await collect(from_llm(own), into=chunks)
    assert not any(chunk.tool_calls for chunk in chunks)
    assert own.streams[0].was_closed


async def test_empty_arguments_are_an_empty_object() -> None:
    chunks = await collect(from_llm(OwnLLM(calling("weather", ""))), ABOUT_WEATHER)
    assert chunks[0].tool_calls == (ToolCall("c1", "weather", "{}"),)
    assert chunks[-1].finish_reason == "tool_calls"


async def test_a_call_of_a_tool_that_was_not_offered_is_broken() -> None:
    with pytest.raises(BrokenStreamError, match="not offered"):
        await collect(from_llm(OwnLLM(calling("forecast", "{}"))), ABOUT_WEATHER)


async def test_machine_text_of_a_plugin_is_not_spoken_and_its_call_is_made() -> None:
    written = '<think>The weather.</think>One moment. <tool_call>{"name": "weather"}</tool_call>'
    own = OwnLLM(*(said(written[at : at + 5]) for at in range(0, len(written), 5)))
    chunks = await collect(from_llm(own), ABOUT_WEATHER)
    assert text(chunks) == "One moment. "
    assert [(call.name, call.arguments) for call in chunks[-1].tool_calls] == [("weather", "{}")]
    assert chunks[-1].finish_reason == "tool_calls"


async def test_half_a_call_in_a_plugins_words_is_broken() -> None:
    with pytest.raises(BrokenStreamError, match="unreadable"):
        await collect(from_llm(OwnLLM(said('<tool_call>{"name": "wea'))), ABOUT_WEATHER)


async def test_calls_with_the_same_id_get_different_ones() -> None:
    own = OwnLLM(calling("weather", "{}"), calling("weather", "{}"), calling("weather", "{}", ""))
    ids = [
        call.id
        for chunk in await collect(from_llm(own), ABOUT_WEATHER)
        for call in chunk.tool_calls
    ]
    assert ids[0] == "c1"
    assert len(set(ids)) == 3
    assert all(ids)


async def test_livekits_context_and_tools_are_passed_on_without_vendors_extras() -> None:
    context = llm.ChatContext.empty()
    context.add_message(role="user", content="hello", extra={"vendor": "mark"})
    context.items.append(
        llm.FunctionCall(call_id="c1", name="weather", arguments="{}", extra={"google": "signed"})
    )
    tools = [llm.function_tool(describe, name="weather")]
    own = OwnLLM(calling("weather", "{}", "c1", google="signed"))
    request = ChatRequest(messages=[], livekit_context=context, livekit_tools=tools)
    chunks = await collect(from_llm(own), request)
    handed = own.asked[0]["chat_ctx"]
    assert [item.id for item in handed.items] == [item.id for item in context.items]
    assert not any(getattr(item, "extra", None) for item in handed.items)
    assert context.messages()[0].extra == {"vendor": "mark"}, "the caller's own context was changed"
    assert own.asked[0]["tools"] == tools
    assert chunks[0].tool_calls[0].id != "c1"


async def describe(city: str) -> str:
    """The weather in a city."""
    return city


@pytest.mark.parametrize(("way", "last"), [("trailing", "We open"), ("words", "hello")])
async def test_a_prefix_is_passed_on_only_with_trailing_continuation(way: Any, last: str) -> None:
    own = OwnLLM(said(" at nine."))
    provider = from_llm(own, continuation=way)
    await collect(provider, ChatRequest(messages=HELLO.messages, prefix="We open "))
    assert provider.continuation == way
    assert own.asked[0]["chat_ctx"].items[-1].text_content == last


async def test_an_unset_option_is_left_to_the_llm() -> None:
    own = OwnLLM(said("Hello"))
    await collect(from_llm(own))
    assert not own.asked[0]["extra_kwargs"]
    assert not own.asked[0]["tool_choice"]


async def test_a_described_tool_keeps_its_schema() -> None:
    own = OwnLLM(said("Hello"))
    await collect(from_llm(own), ChatRequest(messages=HELLO.messages, tools=[WEATHER]))
    (tool,) = own.asked[0]["tools"]
    assert tool.info.raw_schema == WEATHER["function"]
    with pytest.raises(RuntimeError, match="runs no tools"):
        await tool()


async def test_a_schema_and_arguments_that_a_plugin_could_not_read_are_objects() -> None:
    own = OwnLLM(said("Hello"))
    function = {"name": "f", "parameters": {"type": "object", "properties": None}}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"day":'}}
    called = {"role": "assistant", "content": None, "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": "c1", "content": "Nine."}
    request = ChatRequest(
        messages=[*HELLO.messages, called, result],
        tools=[{"type": "function", "function": function}],
    )
    await collect(from_llm(own), request)
    (tool,) = own.asked[0]["tools"]
    assert tool.info.raw_schema["parameters"] == {"type": "object", "properties": {}}
    made = [item for item in own.asked[0]["chat_ctx"].items if item.type == "function_call"]
    assert [item.arguments for item in made] == ["{}"]


async def test_an_llm_without_a_cheap_request_counts_as_healthy() -> None:
    provider = from_llm(OwnLLM())
    await provider.warm()
    await provider.probe()
    assert await provider.models() == ("unknown",)


# --- Errors of vendors whose plugins are extras


class GoogleError(Exception):
    """Has the attributes of google.genai.errors.ClientError that the provider reads."""

    details: ClassVar[Any] = {"error": {"details": [{"@type": "RetryInfo", "retryDelay": "38.5s"}]}}


async def test_geminis_retry_delay_is_read() -> None:
    error = APIStatusError("gemini llm: client error", status_code=429, body="quota RESOURCE")
    error.__cause__ = GoogleError()
    with pytest.raises(StatusError) as caught:
        await collect(from_llm(OwnLLM(error)))
    assert (caught.value.status, caught.value.retry_after) == (429, 38.5)
    assert classify(caught.value).kind is FailureClass.RATE_LIMITED


async def test_geminis_error_about_a_key_is_read_from_its_body() -> None:
    said = "API key not valid. Please pass a valid API key. INVALID_ARGUMENT"
    error = APIStatusError("gemini llm: client error", status_code=400, body=said)
    with pytest.raises(StatusError) as caught:
        await collect(from_llm(OwnLLM(error)))
    assert classify(caught.value).kind is FailureClass.REJECTED_KEY


@pytest.mark.parametrize(
    "message",
    ["generation blocked by gemini: FinishReason.SAFETY", '{"block_reason":"PROHIBITED_CONTENT"}'],
)
async def test_a_reply_that_gemini_blocks_is_refused_content(message: str) -> None:
    with pytest.raises(StatusError) as caught:
        await collect(from_llm(OwnLLM(APIStatusError(message, status_code=-1))))
    assert classify(caught.value).kind is FailureClass.REFUSED_CONTENT


async def test_a_reply_of_reasoning_alone_is_empty() -> None:
    chunks = await collect(from_llm(OwnLLM(APIStatusError("no response generated"))))
    assert [chunk.finish_reason for chunk in chunks] == ["stop"]


async def test_calls_of_another_vendor_are_signed_for_gemini() -> None:
    own = OwnLLM()
    own._thought_signatures = {"c1": b"mine"}  # type: ignore[attr-defined]  # of the google plugin
    calls = [llm.FunctionCall(call_id=name, name="f", arguments="{}") for name in ("c1", "c2")]
    prepare = PLUGINS["google"].prepare
    assert prepare
    prepare(own, llm.ChatContext([*calls]))
    signed = own._thought_signatures  # type: ignore[attr-defined]  # of the google plugin
    assert signed == {"c1": b"mine", "c2": b"skip_thought_signature_validator"}


# --- The table of plugins


@pytest.mark.parametrize(
    ("plugin", "model", "continues"),
    [
        ("anthropic", "claude-3-5-haiku-latest", True),
        ("anthropic", "claude-sonnet-4-20250514", True),
        ("anthropic", "claude-opus-4-1", True),
        ("anthropic", "claude-haiku-4-5-20251001", True),
        ("anthropic", "claude-sonnet-4-6", False),
        ("anthropic", "claude-opus-5-5", False),
        ("aws", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", True),
        ("aws", "anthropic.claude-opus-4-6-v1", False),
        ("aws", "amazon.nova-lite-v1:0", False),
        ("google", "gemini-2.5-flash", False),
        ("openai", "gpt-4.1", False),
    ],
)
def test_only_models_known_to_continue_a_reply_get_a_prefix(
    plugin: str, model: str, continues: bool
) -> None:
    assert can_continue(PLUGINS[plugin], model) is continues
