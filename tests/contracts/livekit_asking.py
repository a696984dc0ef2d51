"""Asks a RouterLLM as LiveKit does, over HTTP servers or over LiveKit's plugins."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from livekit.agents import (
    AgentSession,
    RunContext,
    function_tool,
    llm,
)
from livekit.agents.voice.run_result import RunResult

from llm_router import open_router
from llm_router.connections.record import Connection
from llm_router.integrations.livekit import RouterLLM
from llm_router.options import PatienceOptions, RouterOptions
from llm_router.routing.phrases import Phrases
from llm_router.testing.server import Behaviour, Fault, FaultyServer, Script
from llm_router.types import ToolCall

ANSWER = "Hello there, how can I help you?"
SORRY = "Please say that again."
CLOSING = "I lost my thread."
PHRASES = Phrases({"en": {"sorry": [SORRY], "closing": [CLOSING]}})
UNHURRIED = RouterOptions(patience=PatienceOptions(cold_hedge=20.0, cold_silent=30.0, longest=30.0))
"""No hedges and no lateness, so that a busy machine changes nothing."""
DOWN = Script(fault=Fault.REFUSE)
NOTHING = Script(words=())
HANG_UP = ToolCall("call_1", "hang_up", '{"reason": "done"}')


@pytest.fixture(params=["http", "livekit_plugin"])
def via(request: pytest.FixtureRequest) -> str:
    """The way in which the router speaks to its servers."""
    return str(request.param)


def connection(via: str, name: str, server: FaultyServer, place: int) -> Connection:
    plugin: dict[str, Any] = {"provider": "livekit_plugin", "server": "openai", "api_key": "k"}
    return Connection(
        name=name,
        base_url=server.base_url,
        model_name=f"model-{name}",
        priority=place,
        **(plugin if via == "livekit_plugin" else {}),
    )


@asynccontextmanager
async def opened(
    via: str, *behaviours: Behaviour, **options: Any
) -> AsyncIterator[tuple[RouterLLM, list[FaultyServer]]]:
    """Opens a RouterLLM over servers with these behaviours: `a`, then `b` and so on."""
    servers = [FaultyServer(behaviour) for behaviour in behaviours]
    async with AsyncExitStack() as stack:
        for server in servers:
            await stack.enter_async_context(server)
        connections = [
            connection(via, name, one, place)
            for place, (name, one) in enumerate(zip("abc", servers, strict=False))
        ]
        router = await stack.enter_async_context(
            open_router(connections, phrases=PHRASES, options=UNHURRIED)
        )
        yield RouterLLM(router, session_id="call", **options), servers


def asked(*messages: tuple[str, str]) -> llm.ChatContext:
    context = llm.ChatContext.empty()
    for role, content in messages or [("user", "Hi")]:
        context.add_message(role=role, content=content)  # type: ignore[arg-type]  # one of LiveKit's roles
    return context


def after_a_tool(result: str = "hung up") -> llm.ChatContext:
    context = asked(("system", "Be brief."), ("user", "Bye!"))
    call = llm.FunctionCall(call_id="c1", name="hang_up", arguments="{}")
    output = llm.FunctionCallOutput(call_id="c1", name="hang_up", output=result, is_error=False)
    context.insert([call, output])
    return context


async def read(model: llm.LLM[Any], context: llm.ChatContext | None = None, **options: Any) -> Any:
    async with model.chat(chat_ctx=context or asked(), **options) as stream:
        return [chunk async for chunk in stream]


def text_of(chunks: Sequence[llm.ChatChunk]) -> str:
    return "".join(chunk.delta.content or "" for chunk in chunks if chunk.delta)


def errors_of(model: llm.LLM[Any]) -> list[llm.LLMError]:
    errors: list[llm.LLMError] = []
    model.on("error", errors.append)
    return errors


async def reply_of(session: AgentSession[None], question: str = "Hello?") -> str:
    result: RunResult[None] = await session.run(user_input=question)
    items = [item.item for item in result.events if item.type == "message"]
    return "".join(item.text_content or "" for item in items)


@function_tool
async def hang_up(context: RunContext[None], reason: str, note: str = "") -> str:
    """Ends the call.

    Args:
        reason: why
        note: for the record
    """
    return f"hung up: {reason} {note}"
