"""LiveKit's expectations of an `llm.LLM` hold for RouterLLM, over HTTP and over LiveKit's plugins.

Each test that takes `via` runs for both. Side questions and the options of a request have tests of
their own beside this file.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from livekit.agents import (
    Agent,
    APIError,
    APIStatusError,
    llm,
)
from livekit.agents.metrics import LLMMetrics
from livekit.agents.telemetry import set_tracer_provider, tracer
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from llm_router import open_router
from llm_router.integrations.livekit import ROUTE, ReplyError, RouterLLM
from llm_router.routing.router import Router
from llm_router.testing.server import Fault, FaultyServer, Script
from llm_router.types import ToolCall
from tests.contracts.livekit_asking import (
    ANSWER,
    CLOSING,
    DOWN,
    HANG_UP,
    NOTHING,
    PHRASES,
    SORRY,
    after_a_tool,
    asked,
    connection,
    errors_of,
    hang_up,
    opened,
    read,
    reply_of,
    text_of,
)
from tests.contracts.voiced import voiced

# ── 1. An intended silence ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "context",
    [
        after_a_tool(),
        asked(
            ("user", "Bye!"), ("assistant", "Goodbye!"), ("system", "Say nothing if all is said")
        ),
        asked(("user", "Bye!"), ("assistant", "Goodbye!"), ("developer", "Reply with nothing.")),
    ],
    ids=["a tool's result", "an instruction", "a developer's instruction"],
)
@pytest.mark.parametrize("speech", [True, False], ids=["voice", "text"])
async def test_an_intended_silence_stays_silent(
    via: str, context: llm.ChatContext, *, speech: bool
) -> None:
    async with opened(via, NOTHING, Script(), speech=speech) as (model, servers):
        errors = errors_of(model)
        for _ in range(4):
            assert text_of(await read(model, context)) == ""
        assert errors == []
        assert [len(server.requests) for server in servers] == [4, 0]
        assert text_of(await read(model)) == ANSWER  # a caller's question is due words


async def test_no_apology_follows_a_goodbye(via: str) -> None:
    def script(number: int) -> Script:
        return NOTHING if number else Script(words=["Goodbye!"], tool_calls=[HANG_UP])

    async with opened(via, script, Script()) as (model, servers):
        agent = Agent(instructions="Be brief.", tools=[hang_up])
        async with voiced(model, agent) as session:
            assert await reply_of(session, "Bye!") == "Goodbye!"
        assert [len(server.requests) for server in servers] == [2, 0]


async def test_generated_replies_may_be_silent_and_the_guide_of_a_voice_asks_for_none(
    via: str,
) -> None:
    async with opened(via, NOTHING, Script(), speech=True) as (model, servers):
        guided = asked(("user", "Hi"))
        guided.add_message(role="system", content="Use tags.", id="lk.expressive.instructions")
        assert text_of(await read(model, guided)) == ANSWER
        assert [len(server.requests) for server in servers][1] == 1


class Quiet(llm.LLM[Any]):
    """Ends every reply without a chunk, as LLMs of a program's own may."""

    def chat(self, **options: Any) -> llm.LLMStream:
        return QuietStream(
            self,
            chat_ctx=options["chat_ctx"],
            tools=options["tools"],
            conn_options=options["conn_options"],
        )


class QuietStream(llm.LLMStream):
    async def _run(self) -> None:
        """Sends nothing."""


async def test_an_llm_object_may_leave_a_turn_silent_unless_another_has_words() -> None:
    async with open_router([Quiet()], phrases=PHRASES) as router:
        for speech in (True, False):
            model = RouterLLM(router, speech=speech)
            errors = errors_of(model)
            assert text_of(await read(model)) == ""
            assert all(error.recoverable for error in errors)
    async with FaultyServer() as server:
        spare = connection("http", "spare", server, 1)
        async with open_router([Quiet(), spare]) as router:
            assert text_of(await read(RouterLLM(router))) == ANSWER


# ── 5. A router that opens late ───────────────────────────────────────────────────────────────────


async def test_a_router_that_could_not_be_opened_is_opened_on_the_next_turn(
    via: str, caplog: pytest.LogCaptureFixture
) -> None:
    openings = 0
    async with FaultyServer() as server:

        @asynccontextmanager
        async def opening() -> AsyncIterator[Router]:
            nonlocal openings
            openings += 1
            if openings == 1:
                raise OSError("the store is down")
            async with open_router([connection(via, "a", server, 0)], phrases=PHRASES) as router:
                yield router

        model = RouterLLM(opening(), speech=True)
        errors = errors_of(model)
        assert "sorry" in text_of(await read(model)).lower()
        assert [error.recoverable for error in errors] == [False]
        assert "the store is down" in caplog.text
        assert text_of(await read(model)) == ANSWER
        assert text_of(await read(model)) == ANSWER
        await model.aclose()
    assert openings == 2


async def test_a_turn_that_is_cancelled_does_not_stop_the_opening(via: str) -> None:
    started = asyncio.Event()
    go_on = asyncio.Event()
    async with FaultyServer() as server:

        @asynccontextmanager
        async def opening() -> AsyncIterator[Router]:
            started.set()
            await go_on.wait()
            async with open_router([connection(via, "a", server, 0)]) as router:
                yield router

        model = RouterLLM(opening())
        stream = model.chat(chat_ctx=asked())
        await started.wait()
        await stream.aclose()
        go_on.set()
        assert text_of(await read(model)) == ANSWER
        await model.aclose()


async def test_closing_ends_an_opening_that_is_under_way() -> None:
    started = asyncio.Event()

    @asynccontextmanager
    async def opening() -> AsyncIterator[Router]:
        started.set()
        await asyncio.Event().wait()
        yield  # type: ignore[misc]  # never reached

    model = RouterLLM(opening())
    model.prewarm()
    await started.wait()
    await model.aclose()


# ── 6. Nothing escapes ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "image", ["data:image/bmp;base64,AAAA", "data:image/png;base64", "data:;base64,%%%%"]
)
async def test_a_broken_picture_costs_no_turn(via: str, image: str) -> None:
    context = asked()
    context.add_message(role="user", content=["Look:", llm.ImageContent(image=image)])
    context.add_message(role="assistant", content="I see.")
    context.add_message(role="user", content="And now?")
    async with opened(via, Script(), speech=True) as (model, servers):
        for _ in range(2):
            assert text_of(await read(model, context)) == ANSWER
        sent = json.dumps(servers[0].requests[-1].messages)
    assert "could not be read" in sent
    assert "Look:" in sent
    assert "And now?" in sent


async def test_what_fails_inside_chat_is_an_event_and_a_phrase(via: str) -> None:
    async with opened(via, Script(), speech=True) as (model, _):
        errors = errors_of(model)
        broken: Any = object()
        assert text_of(await read(model, tools=[broken])) == SORRY
        assert [error.recoverable for error in errors] == [False]
    async with opened(via, Script()) as (model, _):
        with pytest.raises(APIError):
            await read(model, tools=[broken])


# ── 7. Spans, and ready LLMs as connections ───────────────────────────────────────────────────────


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    before = tracer._tracer_provider
    provider = TracerProvider()
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    set_tracer_provider(provider)
    yield exporter
    set_tracer_provider(before)
    provider.shutdown()


def with_tokens(spans: InMemorySpanExporter) -> list[ReadableSpan]:
    name = "gen_ai.usage.output_tokens"
    return [span for span in spans.get_finished_spans() if name in (span.attributes or {})]


async def test_one_reply_is_one_request_in_a_trace(via: str, spans: InMemorySpanExporter) -> None:
    async with opened(via, Script()) as (model, _):
        await model.chat(chat_ctx=asked()).collect()
    names = [span.name for span in spans.get_finished_spans()]
    assert names.count("llm_request") == 1
    [counted] = with_tokens(spans)
    assert counted.name == "llm_request"
    assert counted.attributes
    assert counted.attributes["gen_ai.usage.output_tokens"] == len(Script().words)
    assert counted.attributes["gen_ai.response.model"] == "model-a"


async def test_a_ready_llm_is_a_connection_like_any_other(via: str) -> None:
    async with (
        opened(via, Script()) as (own, _),
        FaultyServer(DOWN) as server,
        open_router([connection(via, "a", server, 0), own, own.text]) as router,
    ):
        names = [endpoint.name for endpoint in router.pool.endpoints]
        assert names == ["a", "router", "router 2"]
        model = RouterLLM(router)
        assert text_of(await read(model)) == ANSWER
        assert model.provider == "router"


# ── 8. A reply that was cut short ─────────────────────────────────────────────────────────────────


async def test_a_reply_that_was_cut_short_names_who_spoke(via: str) -> None:
    def script(number: int) -> Script:
        return DOWN if number else Script(fault=Fault.RESET_AFTER, words=["We", " open", " at "])

    async with opened(via, script, speech=True) as (model, _):
        chunks = await read(model)
        assert (model.provider, model.model) == ("a", "model-a")
    assert text_of(chunks) == f"We open at … {CLOSING}"
    routes = [c.delta.extra[ROUTE] for c in chunks if c.delta and c.delta.extra]
    assert [route["connection"] for route in routes] == ["a", "a"]
    assert [route["last_resort"] for route in routes] == [False, True]


# ── What LiveKit asks of every LLM ────────────────────────────────────────────────────────────────


async def test_words_stream_and_are_measured_once(via: str) -> None:
    measured: list[LLMMetrics] = []
    async with opened(via, Script()) as (model, _):
        model.on("metrics_collected", measured.append)
        chunks = await read(model)
    assert text_of(chunks) == ANSWER
    assert len([chunk for chunk in chunks if chunk.has_response()]) > 3
    assert {chunk.id for chunk in chunks} == {"chatcmpl-0"}  # the server's own name for it
    [one] = measured
    assert one.request_id == "chatcmpl-0"
    assert one.label == model.label
    assert one.completion_tokens == len(Script().words)
    assert one.ttft >= 0
    assert not one.cancelled
    assert one.metadata
    assert (one.metadata.model_name, one.metadata.model_provider) == ("model-a", "a")


async def test_several_tool_calls_come_whole_and_are_run(via: str) -> None:
    calls = [HANG_UP, ToolCall("call_2", "hang_up", '{"reason": "twice", "note": "n"}')]
    async with opened(via, Script(words=(), tool_calls=calls)) as (model, servers):
        response = await model.chat(
            chat_ctx=asked(), tools=[hang_up], tool_choice="required"
        ).collect()
        assert servers[0].requests[0].body["tool_choice"] == "required"
    assert [(call.call_id, call.arguments) for call in response.tool_calls] == [
        (call.id, call.arguments) for call in calls
    ]
    assert response.text == ""


async def test_a_cancelled_reply_is_closed_at_the_server_and_measured_as_cancelled(
    via: str,
) -> None:
    measured: list[LLMMetrics] = []
    async with opened(via, Script(gap=0.02, words=[" on"] * 1000)) as (model, servers):
        model.on("metrics_collected", measured.append)
        async with model.chat(chat_ctx=asked()) as stream:
            async for chunk in stream:
                if chunk.has_response():
                    break
        assert await servers[0].disconnected(0) is not None
    assert [one.cancelled for one in measured] == [True]


async def test_a_failed_attempt_is_a_recoverable_error(via: str) -> None:
    async with opened(via, Script(fault=Fault.STATUS), Script()) as (model, _):
        errors = errors_of(model)
        assert text_of(await read(model)) == ANSWER
    assert [error.recoverable for error in errors] == [True]
    assert isinstance(errors[0].error, APIStatusError)
    assert "connection a" in str(errors[0].error)
    assert not isinstance(errors[0], ReplyError)


async def test_it_has_the_names_that_livekit_asks_for(via: str) -> None:
    async with opened(via, Script()) as (model, servers):
        assert (model.model, model.provider) == ("router", "patchbay")
        assert model.label == "llm_router.integrations.livekit.llm.RouterLLM"
        await (await model.opened()).warm()
        await read(model)
        assert model.metrics_metadata == {"model_name": "model-a", "model_provider": "a"}
        if via == "http":
            assert servers[0].connections == 1  # the first reply uses the warm connection
        await model.aclose()
        assert text_of(await read(model)) == ANSWER  # an open router is its owner's to close
