"""Tests every row of the catalog by the request that a server of that name receives."""

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from llm_router.catalog.servers import SERVERS, Server, adapt, api_root, find_server
from llm_router.clock import SystemClock
from llm_router.connections.record import Connection
from llm_router.providers.openai_compatible import create
from llm_router.testing.server import FaultyServer, ReceivedRequest
from llm_router.types import ChatRequest, Message
from tests.contracts.wire import HISTORY, KEY, REQUEST, connect, read

ROWS = list(SERVERS.values())
every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
TOOL = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {}}}
PREFIX = "We open at"
ORDER: list[Message] = [
    {"role": "system", "content": "Be kind."},
    *HISTORY[1:4],
    {"role": "user", "content": "And on Sunday?", "name": "ann"},
    {"role": "system", "content": "The caller is in a hurry."},
]
MODELS = {  # an example for each pattern of `by_model`, and the fields to be sent for it
    ("groq", "openai/gpt-oss-20b"): {"reasoning_effort": "low"},
    ("groq", "qwen/qwen3.6-27b"): {"reasoning_effort": "none"},
    ("groq", "llama-3.3-70b-versatile"): {},
    ("openrouter", "qwen/qwen3-8b"): {"reasoning": {"enabled": False}},
    ("openrouter", "openai/gpt-oss-20b"): {"reasoning": {"effort": "low", "exclude": True}},
    ("openrouter", "meta-llama/llama-3.3-70b-instruct"): {},
    ("moonshot", "kimi-k2.6"): {"thinking": {"type": "disabled"}},
    ("moonshot", "moonshot-v1-8k"): {},
    ("xai", "grok-4.3"): {"reasoning_effort": "none"},
    ("xai", "grok-3-mini"): {"reasoning_effort": "low"},
    ("xai", "grok-4.20-non-reasoning"): {},
    ("fireworks", "accounts/fireworks/models/glm-5p2"): {"reasoning_effort": "none"},
    ("fireworks", "accounts/fireworks/models/gpt-oss-20b"): {"reasoning_effort": "low"},
    ("fireworks", "accounts/fireworks/models/llama-v3p3-70b-instruct"): {},
    ("cerebras", "gpt-oss-120b"): {"reasoning_effort": "low"},
    ("cerebras", "zai-glm-4.7"): {"reasoning_effort": "none"},
    ("cerebras", "llama3.1-8b"): {},
    ("openai", "gpt-5.4-mini"): {"reasoning_effort": "none"},
    ("openai", "gpt-5-nano"): {"reasoning_effort": "minimal"},
    ("openai", "gpt-5-chat-latest"): {},
    ("openai", "o4-mini"): {"reasoning_effort": "low"},
    ("openai", "gpt-4.1-mini"): {},
    ("azure", "gpt-5.1"): {"reasoning_effort": "none"},
    ("azure", "my-deployment"): {},
    ("gemini", "gemini-2.5-flash-lite"): {"reasoning_effort": "none"},
    ("gemini", "gemini-3.8-flash"): {"reasoning_effort": "low"},
    ("gemini", "gemini-2.0-flash"): {},
    ("deepseek", "deepseek-chat"): {"thinking": {"type": "disabled"}},
    ("dashscope", "qwen-plus"): {"enable_thinking": False},
    ("vllm", "any"): {"chat_template_kwargs": {"enable_thinking": False}},
    ("ollama", "qwen3:4b"): {"reasoning_effort": "none"},
    ("anthropic", "claude-haiku-4-5"): {},
}


async def asked(row: Server, request: ChatRequest, **fields: Any) -> ReceivedRequest:
    """Returns the request that a server of that row receives, at an address without a path."""
    async with FaultyServer() as server:
        root = server.base_url.removesuffix("/v1")
        async with connect(root, server=row.name, **fields) as provider:
            await read(provider, request)
        return server.requests[0]


def saying(*messages: Message, **fields: Any) -> ChatRequest:
    return replace(REQUEST, messages=list(messages) or REQUEST.messages, **fields)


@every_row
def test_a_row_names_its_source(row: Server) -> None:
    assert row.source
    assert row.title
    assert not set(row.rejects) & {"model", "messages", "stream"}


@every_row
def test_a_host_of_a_row_identifies_it(row: Server) -> None:
    for host in row.hosts:
        name = f"mine{host}" if host.startswith(".") else host
        connection = Connection(name="x", base_url=f"https://{name}")
        assert find_server(connection) is row
        assert urlsplit(api_root(connection.base_url, row)[0]).path == row.path


@every_row
async def test_the_api_and_the_key_are_where_the_server_expects_them(row: Server) -> None:
    received = await asked(row, REQUEST, organization_id="org-1")
    assert received.path == f"{row.path}/chat/completions"
    assert received.headers[row.key_header.lower()] == f"{row.key_prefix}{KEY}"
    others = {"authorization", "api-key", "x-api-key"} - {row.key_header.lower()}
    assert not others & set(received.headers)
    organizations = {name for name, value in received.headers.items() if value == "org-1"}
    assert organizations == {row.organization_header.lower()} - {""}


@every_row
async def test_models_are_listed_at_the_servers_route(row: Server) -> None:
    async with FaultyServer() as server:
        root = server.base_url.removesuffix("/v1")
        async with connect(root, server=row.name) as provider:
            assert await provider.models() == [server.model]
        ((path, headers),) = server.other_requests
    assert path == f"{row.path}/models"
    shown = row.list_headers or {row.key_header: f"{row.key_prefix}{KEY}"}
    for name, value in shown.items():
        assert headers[name.lower()] == value.format(key=KEY)
    assert ("authorization" in headers) is ("Authorization" in shown)


async def test_a_requests_own_field_takes_precedence_over_the_catalogs() -> None:
    row, request = SERVERS["vllm"], saying(extra_body={"chat_template_kwargs": {}})
    assert (await asked(row, request)).body["chat_template_kwargs"] == {}
    usual = (await asked(row, saying())).body["chat_template_kwargs"]
    assert usual == {"enable_thinking": False}


@every_row
async def test_no_field_is_sent_that_the_server_rejects(row: Server) -> None:
    request = saying(seed=3, stop=["."], temperature=0.5, top_p=0.9, max_tokens=7)
    body = (await asked(row, request)).body
    assert not row.rejects & set(body)
    usual = {"stream_options": {"include_usage": True}, "stop": ["."], row.seed_field: 3}
    assert {name: body[name] for name in usual.keys() - row.rejects} == {
        name: value for name, value in usual.items() if name not in row.rejects
    }
    assert (body["temperature"], body["top_p"], body[row.max_tokens_field]) == (0.5, 0.9, 7)
    assert ("max_tokens" in body) is (row.max_tokens_field == "max_tokens")
    assert ("seed" in body) is (row.seed_field == "seed" and "seed" not in row.rejects)


@every_row
async def test_a_reply_limit_is_sent_if_the_servers_default_is_short(row: Server) -> None:
    assert (await asked(row, REQUEST)).body.get(row.max_tokens_field) == row.max_tokens
    assert (await asked(row, REQUEST, max_tokens=9)).body[row.max_tokens_field] == 9


@every_row
async def test_tools_and_calls_have_the_form_that_the_server_accepts(row: Server) -> None:
    body = (await asked(row, saying(*HISTORY, tools=[TOOL]))).body
    assert ("strict" in body["tools"][0]["function"]) is row.accepts_strict_tools
    made, answered = body["messages"][2], body["messages"][3]
    assert made["content"] == row.empty_content
    (call,) = made["tool_calls"]
    assert call["id"] == answered["tool_call_id"]
    assert (call["id"] != "call_abc") is row.short_call_ids
    assert len(call["id"]) == (9 if row.short_call_ids else len("call_abc"))


@every_row
async def test_messages_have_an_order_that_the_server_accepts(row: Server) -> None:
    messages = (await asked(row, saying(*ORDER))).body["messages"]
    roles = [message["role"] for message in messages]
    if row.strict_order:
        assert roles == ["system", "user", "assistant", "tool", "assistant", "user", "user"]
    else:
        assert roles == ["system", "user", "assistant", "tool", "user", "system"]
    assert messages[-1]["content"] == "The caller is in a hurry."
    assert any("name" in message for message in messages) is row.accepts_names


@every_row
async def test_another_servers_reply_is_continued_in_the_servers_form(row: Server) -> None:
    before = (await asked(row, REQUEST)).body
    body = (await asked(row, saying(prefix=f"{PREFIX} "))).body
    added = {name: body[name] for name in body.keys() - before.keys()}
    assert added == (row.continue_body if row.continuation == "flags" else {})
    last = dict(body["messages"][-1])
    if row.continuation == "words":
        assert last == REQUEST.messages[-1]
        return
    assert (last.pop("role"), last.pop("content")) == ("assistant", PREFIX)
    mark = {row.continuation: True} if row.continuation in {"prefix", "partial"} else {}
    assert last == mark


@pytest.mark.parametrize(("case", "quiet"), MODELS.items(), ids=" ".join)
async def test_a_models_reasoning_is_switched_off_where_possible(
    case: tuple[str, str], quiet: dict[str, Any]
) -> None:
    name, model = case
    plain = {"model", "messages", "stream", "stream_options", "max_tokens"}
    body = (await asked(SERVERS[name], REQUEST, model_name=model)).body
    assert {field: body[field] for field in body.keys() - plain} == quiet
    own = dict.fromkeys(quiet, "mine")
    body = (await asked(SERVERS[name], REQUEST, model_name=model, extra_body=own)).body
    assert {field: body[field] for field in body.keys() - plain} == own


def test_every_model_pattern_has_an_example() -> None:
    for row in ROWS:
        for pattern, quiet in row.by_model.items():
            names = [m for (name, m), said in MODELS.items() if name == row.name and said == quiet]
            if row.name != "azure":  # OpenAI's own patterns
                assert names, f"{row.name}: {pattern}"


# --- Azure's older addresses


async def test_a_dated_api_version_selects_the_deployments_address() -> None:
    fields = {"api_version": "2024-10-21", "deployment": "small one", "model_name": "gpt-4.1"}
    received = await asked(SERVERS["azure"], REQUEST, **fields)
    way = "/openai/deployments/small%20one/chat/completions?api-version=2024-10-21"
    assert received.path == way
    assert received.body["model"] == "small one"


@pytest.mark.parametrize("api_version", ["", "preview", "v1"])
async def test_azure_is_otherwise_asked_by_its_current_api(api_version: str) -> None:
    fields = {"api_version": api_version, "deployment": "small"}
    received = await asked(SERVERS["azure"], REQUEST, **fields)
    assert (received.path, received.body["model"]) == ("/openai/v1/chat/completions", "small")


def test_an_address_with_a_deployment_stays_unchanged() -> None:
    base_url = "https://x.openai.azure.com/openai/deployments/one?api-version=2024-06-01"
    connection = Connection(name="x", base_url=base_url, api_version="2024-10-21", deployment="two")
    assert adapt(connection, find_server(connection)).base_url == base_url
    create(connection, SystemClock())
