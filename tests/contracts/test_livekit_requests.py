"""A RouterLLM passes on what a request asks for, and returns what the server counted."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from livekit.agents import (
    APIConnectOptions,
    APIError,
    APITimeoutError,
)
from livekit.agents.metrics import LLMMetrics
from pydantic import BaseModel

from llm_router import open_router
from llm_router.connections.record import Connection
from llm_router.integrations.livekit import RouterLLM
from llm_router.testing.script import chunk as wire_chunk
from llm_router.testing.script import event
from llm_router.testing.server import Fault, FaultyServer, Script
from tests.contracts.livekit_asking import DOWN, SORRY, asked, hang_up, opened, read, text_of

# ── 3. What a request asks for ────────────────────────────────────────────────────────────────────


class Booking(BaseModel):
    guests: int
    note: str | None = None


async def body_of(via: str, /, **options: Any) -> Mapping[str, Any]:
    async with opened(via, Script()) as (model, servers):
        await model.chat(chat_ctx=asked(), **options).collect()
        return servers[0].requests[0].body


@pytest.mark.parametrize(
    "given",
    [
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "b", "schema": {"type": "object"}}},
    ],
)
@pytest.mark.parametrize("place", ["argument", "option"])
async def test_a_form_given_as_a_dict_reaches_the_server(
    via: str, given: dict[str, Any], place: str
) -> None:
    options = {"response_format": given}
    options = options if place == "argument" else {"extra_kwargs": options}
    assert (await body_of(via, **options))["response_format"] == given


async def test_a_form_given_as_a_class_reaches_the_server_as_its_schema(via: str) -> None:
    body = await body_of(via, response_format=Booking)
    schema = body["response_format"]["json_schema"]
    assert schema["name"] == "Booking"
    assert schema["strict"] is True
    assert set(schema["schema"]["required"]) == {"guests", "note"}


async def test_a_form_that_is_none_is_refused(via: str) -> None:
    async with opened(via, Script()) as (model, servers):
        with pytest.raises(APIError):
            await model.chat(chat_ctx=asked(), response_format={"type": "yaml"}).collect()
        assert not servers[0].requests


async def test_a_form_makes_a_spoken_answer_data(via: str) -> None:
    async with opened(via, DOWN, speech=True) as (model, _):
        with pytest.raises(APIError):
            await read(model, response_format=Booking)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"temperature": 0.0}, {"temperature": 0.0}),
        ({"top_p": 0.5, "seed": 7}, {"top_p": 0.5, "seed": 7}),
        ({"stop": "END"}, {"stop": ["END"]}),
        ({"stop": ["A", "B"]}, {"stop": ["A", "B"]}),
    ],
)
async def test_options_reach_the_server(
    via: str, options: dict[str, Any], expected: dict[str, Any]
) -> None:
    body = await body_of(via, extra_kwargs=options)
    assert {name: body.get(name) for name in expected} == expected


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
async def test_a_limit_of_tokens_has_the_spelling_of_the_server(via: str, name: str) -> None:
    body = await body_of(via, extra_kwargs={name: 12})
    expected = "max_tokens" if via == "http" else "max_completion_tokens"
    assert body[expected] == 12


async def test_other_options_reach_a_server_as_they_are() -> None:
    options = {
        "frequency_penalty": 0.3,
        "extra_body": {"top_k": 5},
        "extra_headers": {"X": "secret"},
    }
    body = await body_of("http", extra_kwargs=options)
    assert (body["frequency_penalty"], body["top_k"]) == (0.3, 5)
    assert "secret" not in json.dumps(body)


async def test_a_named_tool_is_chosen(via: str) -> None:
    choice: Any = {"type": "function", "function": {"name": "hang_up"}}
    body = await body_of(via, tools=[hang_up], tool_choice=choice)
    assert body["tool_choice"] == choice


@pytest.mark.parametrize("parallel", [True, False])
async def test_parallel_tool_calls_reach_the_server(via: str, *, parallel: bool) -> None:
    body = await body_of(via, tools=[hang_up], parallel_tool_calls=parallel)
    assert body["parallel_tool_calls"] is parallel


async def test_parallel_tool_calls_are_the_server_s_own_choice_by_default(via: str) -> None:
    assert "parallel_tool_calls" not in await body_of(via, tools=[hang_up])


@pytest.mark.parametrize("server", ["openai", "vllm"])
async def test_strict_schemas_go_to_servers_that_take_them(server: str) -> None:
    async with FaultyServer() as one:
        named = Connection(name="a", base_url=one.base_url, server=server, model_name="m")
        async with open_router([named]) as router:
            await RouterLLM(router).chat(chat_ctx=asked(), tools=[hang_up]).collect()
        function = one.requests[0].body["tools"][0]["function"]
    is_strict = server == "openai"
    assert function.get("strict", False) is is_strict
    assert ("note" in function["parameters"].get("required", [])) is is_strict


async def test_a_stated_timeout_is_the_longest_wait(via: str) -> None:
    silent = Script(fault=Fault.HEADERS_THEN_NOTHING)
    async with opened(via, silent) as (model, _):
        limits = APIConnectOptions(timeout=0.2)
        with pytest.raises(APITimeoutError):
            await model.chat(chat_ctx=asked(), conn_options=limits).collect()
    async with opened(via, silent, speech=True) as (model, _):
        assert text_of(await read(model, conn_options=limits)) == SORRY


# ── 4. Token counts ───────────────────────────────────────────────────────────────────────────────


COUNTED = {
    "prompt_tokens": 50,
    "completion_tokens": 20,
    "prompt_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 8},
    "completion_tokens_details": {"reasoning_tokens": 12},
}


async def test_every_kind_of_token_is_counted(via: str) -> None:
    raw = [
        event(wire_chunk({"role": "assistant", "content": "Hi."})),
        event(wire_chunk({}, "stop")),
        event({**wire_chunk({}), "choices": [], "usage": {"total_tokens": 70, **COUNTED}}),
        event("[DONE]"),
    ]
    measured: list[LLMMetrics] = []
    async with opened(via, Script(raw=raw)) as (model, _):
        model.on("metrics_collected", measured.append)
        usage = (await model.chat(chat_ctx=asked()).collect()).usage
    assert usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (50, 20, 70)
    assert (usage.prompt_cached_tokens, usage.reasoning_tokens) == (30, 12)
    if via == "http":  # LiveKit's plugin for OpenAI reads no such count
        assert usage.cache_creation_tokens == 8
    assert [m.reasoning_tokens for m in measured] == [12]
