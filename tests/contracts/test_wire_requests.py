"""What a provider asks a server for, and which records cannot work.

Bodies are those of chat completions here; Ollama's are in test_wire_ollama.py.
"""

import copy
from typing import Any

import pytest

from llm_router.connections.record import Connection
from llm_router.errors import (
    ConfigurationError,
)
from llm_router.testing.server import FaultyServer, Script
from llm_router.types import ChatRequest
from tests.contracts.wire import (
    HISTORY,
    KEY,
    REQUEST,
    SECRET_WORDS,
    TEXT,
    body_of,
    made,
    opened,
    read,
    served,
    text,
)


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
async def test_every_way_to_write_the_address_leads_to_the_same_request(end: str) -> None:
    async with FaultyServer() as server:
        async with opened(server.base_url.removesuffix("/v1") + end) as provider:
            assert text(await read(provider)) == TEXT
            assert await provider.models() == ["faulty"]
        assert server.requests[0].path == "/v1/chat/completions"


async def test_a_path_of_the_address_survives() -> None:
    async with FaultyServer() as server:
        async with opened(server.base_url.removesuffix("/v1") + "/v1beta/openai/") as provider:
            await read(provider)
        assert server.requests[0].path == "/v1beta/openai/chat/completions"


async def test_requests_say_who_asks_and_carry_the_key(wire: str) -> None:
    async with served(headers={"x-tenant": "one"}, provider=wire) as (server, provider):
        await read(provider)
        headers = server.requests[0].headers
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["user-agent"].startswith("patchbay/")
    assert headers["x-tenant"] == "one"
    assert not [name for name in headers if "livekit" in name]


async def test_azure_gets_the_key_its_own_way() -> None:
    async with served(server="azure") as (server, provider):
        await read(provider)
        assert server.requests[0].headers["api-key"] == KEY
        assert "authorization" not in server.requests[0].headers


async def test_no_key_means_no_header(wire: str) -> None:
    async with served(api_key=None, provider=wire) as (server, provider):
        await read(provider)
        assert "authorization" not in server.requests[0].headers


async def test_an_unset_option_is_not_sent() -> None:
    assert await body_of(REQUEST) == {
        "model": "tiny",
        "messages": [{"role": "user", "content": SECRET_WORDS}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_the_request_goes_before_the_connection() -> None:
    request = ChatRequest(messages=REQUEST.messages, temperature=0.0, max_tokens=5, stop=["."])
    body = await body_of(request, temperature=0.9, top_p=0.8, max_tokens=99)
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.0, 0.8, 5)
    assert body["stop"] == ["."]


async def test_the_extra_body_has_the_last_word_and_is_left_as_it_was() -> None:
    extra = {"temperature": 0.1, "stream_options": None, "deep": {"a": [1]}}
    before = copy.deepcopy(extra)
    body = await body_of(REQUEST, extra_body=extra, temperature=0.9)
    assert (body["temperature"], body["deep"]) == (0.1, {"a": [1]})
    assert "stream_options" not in body
    assert extra == before


async def test_each_server_is_asked_in_its_own_words() -> None:
    request = ChatRequest(messages=REQUEST.messages, max_tokens=7, seed=3)
    openai = await body_of(request, server="openai")
    assert (openai["max_completion_tokens"], openai["seed"]) == (7, 3)
    mistral = await body_of(request, server="mistral")
    assert (mistral["max_tokens"], mistral["random_seed"]) == (7, 3)
    assert "stream_options" not in mistral
    assert "seed" not in mistral
    vllm = await body_of(request, server="vllm")
    assert vllm["chat_template_kwargs"] == {"enable_thinking": False}


async def test_what_one_vendor_added_to_a_message_does_not_reach_another() -> None:
    body = await body_of(ChatRequest(messages=HISTORY))
    function = {"name": "hours", "arguments": "{}"}
    call_made = {"id": "call_abc", "type": "function", "function": function}
    assert body["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Open?"},
        {"role": "assistant", "content": None, "tool_calls": [call_made]},
        {"role": "tool", "content": "9 to 5", "tool_call_id": "call_abc"},
        {"role": "assistant", "content": ""},
    ]


async def test_content_beside_tool_calls_is_empty_the_way_the_server_can_read() -> None:
    body = await body_of(ChatRequest(messages=HISTORY), server="llama_cpp_python")
    assert body["messages"][2]["content"] == ""


async def test_call_ids_take_the_form_a_server_insists_on() -> None:
    body = await body_of(ChatRequest(messages=HISTORY), server="mistral")
    made, answered = body["messages"][2]["tool_calls"][0]["id"], body["messages"][3]["tool_call_id"]
    assert made == answered
    assert made.isalnum()
    assert len(made) == 9


async def test_strict_tools_go_only_where_they_are_taken() -> None:
    tool = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {}}}
    request = ChatRequest(messages=REQUEST.messages, tools=[tool], tool_choice="auto")
    openai, other = await body_of(request, server="openai"), await body_of(request)
    assert openai["tools"] == [tool]
    assert other["tools"] == [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    assert other["tool_choice"] == "auto"
    assert tool["function"] == {"name": "f", "strict": True, "parameters": {}}


PREFIX = "Hello there, "
LAST = {"role": "assistant", "content": "Hello there,"}


@pytest.mark.parametrize(
    ("server", "last", "flags"),
    [
        ("vllm", LAST, {"continue_final_message": True, "add_generation_prompt": False}),
        ("ollama", LAST, {}),
        ("mistral", {**LAST, "prefix": True}, {}),
        ("moonshot", {**LAST, "partial": True}, {}),
        ("openai", REQUEST.messages[0], {}),
    ],
)
async def test_words_are_continued_the_way_the_server_can(
    server: str, last: dict[str, Any], flags: dict[str, bool]
) -> None:
    body = await body_of(ChatRequest(messages=REQUEST.messages, prefix=PREFIX), server=server)
    assert body["messages"][-1] == last
    names = ("continue_final_message", "add_generation_prompt")
    assert {name: body[name] for name in names if name in body} == flags


async def test_the_connection_says_how_it_continues_where_it_knows_better(wire: str) -> None:
    fields = {"continuation": "trailing", "provider": wire}
    async with served(Script(continues=True), **fields) as (_, provider):
        assert provider.continuation == "trailing"
        rest = await read(provider, ChatRequest(messages=REQUEST.messages, prefix=PREFIX))
    assert text(rest) == " how can I help you?"


# --- Records that cannot work


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "base_url is missing"),
        ({"base_url": "http://box:99999/v1"}, "base_url"),
        ({"base_url": "http://box", "api_key": "sk-\n-broken"}, "api_key and headers must not"),
        ({"base_url": "http://box", "api_key": "sk-“quoted”"}, "api_key holds a character"),
        ({"base_url": "http://box", "headers": {"x-a": "b\r\nc"}}, "api_key and headers must not"),
    ],
)
async def test_a_record_that_cannot_work_says_why(
    fields: dict[str, Any], told: str, wire: str
) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        made(Connection(name="box", provider=wire, **fields))
    assert "broken" not in str(caught.value)


async def test_a_server_that_nobody_knows_is_refused_with_those_known() -> None:
    with pytest.raises(ConfigurationError, match=r"known: .*vllm"):
        made(Connection(name="box", base_url="http://box", server="nobody"))


async def test_white_space_around_a_key_does_no_harm(wire: str) -> None:
    async with served(api_key=f"{KEY}\n", provider=wire) as (server, provider):
        await read(provider)
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
