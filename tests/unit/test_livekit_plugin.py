"""The LiveKit provider over LLMs written here, which do what no server can be made to do."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest
from livekit.agents import APIConnectionError, APIStatusError, APITimeoutError, llm

from llm_router.errors import BrokenStreamError, StatusError, UnreachableError
from llm_router.providers.base import Provider
from llm_router.providers.livekit_plugin import from_llm
from llm_router.types import ChatRequest, Chunk, ToolCall

HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}])
SCHEMA = {
    "name": "weather",
    "description": "The weather somewhere.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


async def collect(
    provider: Provider, request: ChatRequest = HELLO, into: list[Chunk] | None = None
) -> list[Chunk]:
    """All chunks; those before an error are in `into`."""
    chunks = [] if into is None else into
    async with aclosing(provider.stream(request)) as stream:
        async for chunk in stream:
            chunks.append(chunk)
    return chunks


def text(chunks: Sequence[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


class OwnLLM(llm.LLM[Any]):
    """Does what it is told: chunks are given out, errors raised, one after another."""

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


def said(content: str) -> llm.ChatChunk:
    return llm.ChatChunk(id="1", delta=llm.ChoiceDelta(role="assistant", content=content))


def calling(name: str, arguments: str, call_id: str = "c1", **extra: Any) -> llm.ChatChunk:
    call = llm.FunctionToolCall(name=name, arguments=arguments, call_id=call_id, extra=extra)
    return llm.ChatChunk(id="1", delta=llm.ChoiceDelta(tool_calls=[call]))


async def test_an_llm_of_ones_own_is_asked_once_and_left_open() -> None:
    own = OwnLLM(said("Hello"), said(" there"))
    provider = from_llm(own)
    chunks = await collect(provider)
    await provider.aclose()
    assert text(chunks) == "Hello there"
    assert chunks[-1].finish_reason == "stop"
    assert own.asked[0]["conn_options"].max_retry == 0
    assert own.streams[0].was_closed
    assert not own.closed


async def test_no_retry_is_made_behind_the_routers_back() -> None:
    own = OwnLLM(APIConnectionError())
    with pytest.raises(UnreachableError):
        await collect(from_llm(own))
    assert len(own.asked) == 1


@pytest.mark.parametrize(
    "error",
    [APIConnectionError("sk-secret"), APITimeoutError("sk-secret"), TimeoutError("sk-secret")],
)
async def test_a_lost_connection_is_told_by_what_had_come(error: Exception) -> None:
    with pytest.raises(UnreachableError) as before:
        await collect(from_llm(OwnLLM(error)))
    with pytest.raises(BrokenStreamError) as after:
        await collect(from_llm(OwnLLM(said("Hello"), error)))
    assert "sk-secret" not in f"{before.value}{after.value}"


async def test_a_status_without_a_body_is_told() -> None:
    with pytest.raises(StatusError) as caught:
        await collect(from_llm(OwnLLM(APIStatusError("the caller said x", status_code=503))))
    assert (caught.value.status, caught.value.detail) == (503, "the caller said x")
    assert "the caller said x" not in str(caught.value)


async def test_a_bug_in_an_llm_stays_a_bug() -> None:
    with pytest.raises(ZeroDivisionError):
        await collect(from_llm(OwnLLM(ZeroDivisionError())))


async def test_an_answer_that_ends_before_it_began_is_a_broken_stream() -> None:
    with pytest.raises(BrokenStreamError):
        await collect(from_llm(OwnLLM()))


@pytest.mark.parametrize("arguments", ['{"city": "Ro', "[1]", '"Rome"'])
async def test_half_a_tool_call_is_never_given_out(arguments: str) -> None:
    own = OwnLLM(said("One moment."), calling("weather", arguments))
    heard: list[Chunk] = []
    with pytest.raises(BrokenStreamError):
        await collect(from_llm(own), into=heard)
    assert not any(chunk.tool_calls for chunk in heard)
    assert own.streams[0].was_closed


async def test_empty_arguments_are_an_empty_object() -> None:
    chunks = await collect(from_llm(OwnLLM(calling("weather", ""))))
    assert chunks[0].tool_calls == (ToolCall("c1", "weather", "{}"),)
    assert chunks[-1].finish_reason == "tool_calls"


async def test_calls_that_share_an_id_get_one_each() -> None:
    own = OwnLLM(calling("weather", "{}"), calling("weather", "{}"), calling("weather", "{}", ""))
    ids = [call.id for chunk in await collect(from_llm(own)) for call in chunk.tool_calls]
    assert ids[0] == "c1"
    assert len(set(ids)) == 3
    assert all(ids)


async def test_livekits_own_context_and_tools_are_handed_over_without_a_vendors_extras() -> None:
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
async def test_a_prefix_is_continued_where_the_llm_can(way: Any, last: str) -> None:
    own = OwnLLM(said(" at nine."))
    provider = from_llm(own, continuation=way)
    await collect(provider, ChatRequest(messages=HELLO.messages, prefix="We open "))
    assert provider.continuation == way
    assert own.asked[0]["chat_ctx"].items[-1].text_content == last


async def test_what_is_not_said_of_an_option_is_left_to_the_llm() -> None:
    own = OwnLLM(said("Hello"))
    await collect(from_llm(own))
    assert not own.asked[0]["extra_kwargs"]
    assert not own.asked[0]["tool_choice"]


async def test_a_tool_that_only_describes_keeps_its_schema() -> None:
    own = OwnLLM(said("Hello"))
    tools = [{"type": "function", "function": SCHEMA}]
    await collect(from_llm(own), ChatRequest(messages=HELLO.messages, tools=tools))
    (tool,) = own.asked[0]["tools"]
    assert tool.info.raw_schema == SCHEMA
    with pytest.raises(RuntimeError, match="runs no tools"):
        await tool()


async def test_an_llm_that_has_no_cheap_question_is_taken_to_be_well() -> None:
    provider = from_llm(OwnLLM())
    await provider.warm()
    await provider.probe()
    assert await provider.models() == ("unknown",)
