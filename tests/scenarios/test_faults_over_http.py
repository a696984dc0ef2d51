"""Every fault of `llm_router.testing.server` through /v1, from socket to socket: clients, gateway
and model servers share one loop whose time jumps.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import openai
import pytest
from openai.types.chat.chat_completion import Choice

from llm_router import Connection, open_router
from llm_router.testing.server import Fault, FaultyServer, Script
from llm_router.types import ToolCall
from tests.scenarios.chat_api import HELLO, ChatApi, serving
from tests.scenarios.stage import Stage

WORDS = ("We", " öffnen", " at", " nine", " in", " the", " morning", ",", " daily", ".")
ANSWER = "".join(WORDS)
CALL = ToolCall("call_1", "lookup", '{"query": "hours"}')
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}
]
STATUSES = (400, 401, 402, 404, 429, 500, 503, 529)
NO_FAILURES = {Fault.NONE, Fault.SPLIT_UTF8, Fault.DRIP, Fault.NO_FINISH_REASON}
"""Faults of which a reader of text notices nothing: a drip is slow, and the sentence has ended."""


def faults(**fields: Any) -> list[Any]:
    """Returns a script with these fields for each fault, and its name."""
    kinds: list[dict[str, Any]] = [{"fault": fault} for fault in Fault if fault is not Fault.STATUS]
    kinds += [{"fault": Fault.STATUS, "status": status} for status in STATUSES]
    kinds += [{"fault": Fault.STATUS, "status": 429, "retry_after": "7"}]
    return [
        pytest.param(Script(**fields, **kind), id=" ".join(str(value) for value in kind.values()))
        for kind in kinds
    ]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Silences the log of deliberate faults."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def over_servers(test: Callable[[ChatApi], Awaitable[None]], *scripts: Script) -> None:
    """Runs a test against /v1 over a server for each script; none is asked any more at the end."""
    stage = Stage()
    stage.clock.socket_wait = 0.001

    async def main() -> None:
        async with AsyncExitStack() as stack:
            servers = [await stack.enter_async_context(FaultyServer(script)) for script in scripts]
            connections = [
                Connection(
                    name=f"server {place}",
                    base_url=server.base_url,
                    model_name="m",
                    priority=place,
                    use_in_automation=True,
                )
                for place, server in enumerate(servers)
            ]
            router = await stack.enter_async_context(open_router(connections, clock=stage.clock))
            api = await stack.enter_async_context(serving(stage, router))
            await test(api)
            await stage.clock.sleep(0.1)  # what was cancelled has ended by then
            assert not any(endpoint.in_flight for endpoint in router.pool.endpoints)

    stage.clock.run(main())


async def asked(api: ChatApi, *, stream: bool, **fields: Any) -> Choice:
    completion = await (api.streamed if stream else api.whole)(**fields)
    [choice] = completion.choices
    return choice


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("script", faults(words=WORDS))
def test_one_healthy_spare_makes_the_reply_whole(script: Script, stream: bool) -> None:
    async def test(api: ChatApi) -> None:
        choice = await asked(api, stream=stream)
        assert choice.message.content == ANSWER
        assert choice.finish_reason == "stop"
        assert not choice.message.tool_calls

    over_servers(test, script, Script(words=WORDS))


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("script", faults(words=(), tool_calls=[CALL]))
def test_a_tool_is_called_once_whatever_the_first_server_does(script: Script, stream: bool) -> None:
    async def test(api: ChatApi) -> None:
        choice = await asked(api, stream=stream, tools=TOOLS)
        assert choice.finish_reason == "tool_calls"
        assert choice.message.tool_calls
        [call] = choice.message.tool_calls
        assert call.type == "function"
        assert (call.function.name, json.loads(call.function.arguments)) == (
            CALL.name,
            json.loads(CALL.arguments),
        )

    over_servers(test, script, Script(words=(), tool_calls=[CALL]))


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("script", faults(words=WORDS))
def test_when_nothing_is_left_the_client_is_given_an_error(script: Script, stream: bool) -> None:
    async def test(api: ChatApi) -> None:
        if script.fault in NO_FAILURES:
            assert (await asked(api, stream=stream)).message.content == ANSWER
            return
        with pytest.raises(openai.APIError) as caught:
            await asked(api, stream=stream)
        assert caught.value.code or caught.value.type
        assert stream or isinstance(caught.value, openai.APIStatusError)

    over_servers(test, script, script)


@pytest.mark.parametrize("script", faults(words=WORDS))
def test_a_stream_ends_with_its_mark_or_with_an_error_frame(script: Script) -> None:
    async def test(api: ChatApi) -> None:
        body = {**HELLO, "stream": True}
        try:
            sent: str = await api.client.post("/chat/completions", body=body, cast_to=str)
        except openai.APIStatusError:
            return
        *_, last = sent.removesuffix("\n\n").split("\n\n")
        assert last == "data: [DONE]" or json.loads(last.removeprefix("data: "))["error"]["code"]

    over_servers(test, script, script)
