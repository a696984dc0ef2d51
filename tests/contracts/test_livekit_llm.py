"""RouterLLM behaves as an AgentSession expects of a LiveKit LLM, over real sockets."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from livekit.agents import (
    Agent,
    AgentSession,
    APIConnectionError,
    APIStatusError,
    RunContext,
    function_tool,
    llm,
)
from livekit.agents.metrics import LLMMetrics, LLMModelUsage
from livekit.agents.voice.run_result import RunResult

from agent import tools
from agent.assistant import Assistant
from agent.toolbox.livekit_form import for_livekit
from agent.tools.base import ToolContext
from llm_router import open_router
from llm_router.clock import SystemClock
from llm_router.connections.record import Connection
from llm_router.integrations.livekit import ROUTE, RouterLLM
from llm_router.routing.events import AttemptEvent, Observer, ReplyEvent
from llm_router.routing.phrases import Phrases
from llm_router.routing.router import Reply, Router
from llm_router.testing.server import Behaviour, Fault, FaultyServer, Script
from llm_router.types import ChatRequest, ToolCall
from tests.contracts.livekit_asking import ANSWER, PHRASES, SORRY
from tests.contracts.voiced import voiced


@asynccontextmanager
async def talking(*behaviours: Behaviour) -> AsyncIterator[tuple[RouterLLM, list[FaultyServer]]]:
    """Opens a RouterLLM over servers with these behaviours; `a` is the primary, `b` its spare."""
    servers = [FaultyServer(behaviour) for behaviour in behaviours]
    async with AsyncExitStack() as stack:
        for server in servers:
            await stack.enter_async_context(server)
        connections = [
            Connection(name=name, base_url=one.base_url, model_name=f"model-{name}", priority=place)
            for place, (name, one) in enumerate(zip("ab", servers, strict=False))
        ]
        router = await stack.enter_async_context(open_router(connections, phrases=PHRASES))
        yield RouterLLM(router, session_id="call"), servers


def context(text: str = "Hi") -> llm.ChatContext:
    chat = llm.ChatContext.empty()
    chat.add_message(role="user", content=text)
    return chat


async def read(model: RouterLLM, **asked: Any) -> Sequence[llm.ChatChunk]:
    async with model.chat(chat_ctx=context(), **asked) as stream:
        return [chunk async for chunk in stream]


def text_of(chunks: Sequence[llm.ChatChunk]) -> str:
    return "".join(chunk.delta.content or "" for chunk in chunks if chunk.delta)


@function_tool
async def get_weather(context: RunContext[None], city: str) -> str:
    """Tells the weather.

    Args:
        city: where
    """
    return f"Sunny in {city}"


# ── One stream ───────────────────────────────────────────────────────────────────────────────────


async def test_words_come_in_chunks_of_one_reply() -> None:
    async with talking(Script()) as (model, _):
        chunks = await read(model)
    assert text_of(chunks) == ANSWER
    assert len({chunk.id for chunk in chunks}) == 1
    assert len(chunks) > 3


async def test_the_server_s_token_counts_are_passed_on_once() -> None:
    async with talking(Script()) as (model, _):
        usages = [chunk.usage for chunk in await read(model) if chunk.usage]
    assert [usage.completion_tokens for usage in usages] == [len(Script().words)]


async def test_a_tool_call_comes_whole() -> None:
    call = ToolCall("call_7", "get_weather", '{"city": "Graz"}')
    async with talking(Script(words=[], tool_calls=[call])) as (model, servers):
        chunks = await read(model, tools=[get_weather], tool_choice="required")
    calls = [call for chunk in chunks if chunk.delta for call in chunk.delta.tool_calls]
    assert [(c.call_id, c.name, c.arguments) for c in calls] == [
        ("call_7", "get_weather", '{"city": "Graz"}')
    ]
    asked = servers[0].requests[0].body
    assert asked["tool_choice"] == "required"
    assert asked["tools"][0]["function"]["parameters"]["properties"]["city"]


async def test_the_route_comes_with_the_words() -> None:
    async with talking(Script(fault=Fault.REFUSE), Script()) as (model, _):
        chunks = await read(model)
        assert (model.provider, model.model) == ("b", "model-b")
    routes = [c.delta.extra[ROUTE] for c in chunks if c.delta and c.delta.extra]
    assert routes[0]["connection"] == "b"
    assert routes[0]["took_over_from"] == ["a"]


# ── Metrics, errors and observers ────────────────────────────────────────────────────────────────


async def test_one_reply_is_measured_once_despite_a_failed_attempt() -> None:
    measured: list[LLMMetrics] = []
    async with talking(Script(fault=Fault.EMPTY), Script()) as (model, _):
        model.on("metrics_collected", measured.append)
        await read(model)
    assert [m.completion_tokens for m in measured] == [len(Script().words)]
    assert measured[0].metadata
    assert measured[0].metadata.model_name == "model-b"


async def test_a_failed_attempt_is_emitted_as_a_recoverable_error() -> None:
    errors: list[llm.LLMError] = []
    async with talking(Script(fault=Fault.STATUS), Script()) as (model, _):
        model.on("error", errors.append)
        assert text_of(await read(model)) == ANSWER
    assert [error.recoverable for error in errors] == [True]
    assert "connection a" in str(errors[0].error)


async def test_session_and_language_reach_the_router() -> None:
    events: list[ReplyEvent] = []

    class Recorder:
        def attempt_ended(self, event: AttemptEvent) -> None:
            """There is no attempt."""

        def reply_ended(self, event: ReplyEvent) -> None:
            events.append(event)

    german = Phrases({"de": {"sorry": ["Wie bitte?"]}})
    desk = Connection(name="desk", provider="offline", use_in_livekit=False)
    async with open_router([desk], phrases=german, observers=[Recorder()]) as router:
        chunks = await read(RouterLLM(router, session_id="call", language="de", speech=True))
    assert text_of(chunks) == "Wie bitte?"
    assert events[0].session_id == "call"
    assert events[0].unasked == (("desk", "not flagged for livekit"),)


async def test_livekit_does_not_retry() -> None:
    async with talking(Script(fault=Fault.STATUS, status=400)) as (model, servers):
        with pytest.raises(APIStatusError, match="no connection could answer"):
            await read(model)
    assert len(servers[0].requests) == 1


async def test_an_abandoned_stream_is_closed_at_the_server() -> None:
    async with talking(Script(gap=0.05, words=[" on"] * 1000)) as (model, servers):
        async with model.chat(chat_ctx=context()) as stream:
            async for chunk in stream:
                if chunk.has_response():
                    break
        assert await servers[0].disconnected(0) is not None


class FaultyRouter(Router):
    """A router with a bug of its own."""

    def stream(self, request: ChatRequest, observers: Sequence[Observer] = ()) -> Reply:
        raise ZeroDivisionError


async def test_a_bug_of_the_router_does_not_become_silence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with talking(Script()) as (model, _):
        pool, options = model.router.pool, model.router.options
        router = FaultyRouter(pool, options, clock=SystemClock(), phrases=PHRASES)
        assert text_of(await read(RouterLLM(router, speech=True))) == SORRY
        with pytest.raises(APIConnectionError, match="ZeroDivisionError"):
            await read(RouterLLM(router))
        await router.aclose()
    assert "ZeroDivisionError" in caplog.text


# ── A session without a room ─────────────────────────────────────────────────────────────────────


def weather(server: FaultyServer) -> Behaviour:
    def script(number: int) -> Script:
        if server.requests[number].messages[-1]["role"] == "user":
            call = ToolCall("call_7", "get_weather", '{"city": "Graz"}')
            return Script(words=[], tool_calls=[call])
        return Script(words=["It is", " sunny."])

    return script


async def test_a_session_uses_a_tool_and_answers() -> None:
    async with talking(Script()) as (model, servers), AgentSession[None](llm=model) as session:
        await servers[0].behave(weather(servers[0]))
        await session.start(Agent(instructions="Be brief.", tools=[get_weather]))
        result: RunResult[None] = await session.run(user_input="What is the weather in Graz?")
        result.expect.next_event().is_function_call(name="get_weather", arguments={"city": "Graz"})
        result.expect.next_event().is_function_call_output(output="Sunny in Graz")
        message = result.expect.next_event().is_message(role="assistant")
        assert message.event().item.text_content == "It is sunny."
        result.expect.no_more_events()
    *_, called, answered = servers[0].requests[-1].messages
    assert called["tool_calls"][0]["id"] == answered["tool_call_id"] == "call_7"


async def test_a_session_counts_each_reply_once_for_its_model() -> None:
    """Tokens of lost and broken attempts are not counted."""
    cases: Sequence[tuple[Script, str]] = [
        (Script(), "model-a"),
        (Script(fault=Fault.HANG_BEFORE_HEADERS), "model-b"),  # hedged: its loser is cut
        (Script(first_token_after=0.6), "model-b"),
        (Script(fault=Fault.RESET_AFTER, after=3), "model-b"),  # finished by the spare
        (Script(fault=Fault.REFUSE), "model-b"),
    ]
    for behaviour, winner in cases:
        async with (
            talking(behaviour, Script()) as (model, _),
            AgentSession[None](llm=model) as session,
        ):
            await session.start(Agent(instructions="Be brief."))
            await session.run(user_input="Hello?")
            [used] = session.usage.model_usage
        assert isinstance(used, LLMModelUsage)
        assert (used.model, used.provider) == (winner, winner.removeprefix("model-"))
        assert used.output_tokens == len(Script().words)


async def test_a_session_survives_the_loss_of_every_server() -> None:
    async with (
        talking(Script(fault=Fault.REFUSE), Script(fault=Fault.REFUSE)) as (model, servers),
        voiced(model) as session,
    ):
        for _ in range(5):  # one more than LiveKit's own patience with errors
            result: RunResult[None] = await session.run(user_input="Hello?")
            message = result.expect.next_event().is_message(role="assistant")
            assert message.event().item.text_content == SORRY
        for server in servers:
            await server.behave(Script())
        result = await session.run(user_input="And now?")
        message = result.expect.next_event().is_message(role="assistant")
        assert message.event().item.text_content == ANSWER


async def test_a_wait_marker_does_not_appear_in_the_answer() -> None:
    async with talking(Script()) as (model, servers), AgentSession[None](llm=model) as session:

        def script(number: int) -> Script:
            if servers[0].requests[number].messages[-1]["role"] == "user":
                call = ToolCall("call_1", "get_time", '{"time_zone": "Atlantis/Harbour"}')
                return Script(words=[], tool_calls=[call])
            return Script(words=["No", " idea."], first_token_after=0.3)

        await servers[0].behave(script)
        assistant = Assistant(
            instructions="Be brief.",
            phrases=PHRASES,
            language="en",
            filler_after=0.01,
            tools=[for_livekit(tool) for tool in tools.load(["time"], ToolContext())],
        )
        await session.start(assistant)
        result: RunResult[None] = await session.run(user_input="What time is it?")
        output = result.expect.next_event(type="function_call_output").event().item
        assert output.is_error
        assert "Atlantis/Harbour is not the name of a time zone" in output.output
        message = result.expect.next_event().is_message(role="assistant")
        assert message.event().item.text_content == "No idea."
