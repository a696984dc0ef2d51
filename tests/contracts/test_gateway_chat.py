"""Tests chat completions with real keys and a real store, and the clients of docs/gateway.md."""

import asyncio
import io
import logging
import os
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from livekit.agents.llm import ChatContext

from llm_router.clock import SystemClock
from llm_router.connections.access import SYSTEM
from llm_router.connections.store import Query
from llm_router.gateway.completions.places import ReplyPlaces
from llm_router.gateway.rates import RateLimit
from llm_router.testing.server import Fault, FaultyServer, Script
from llm_router.types import ToolCall
from tests.contracts.databases import Files
from tests.contracts.gateway import STRANGER, Gateway, gateway_on, one_server, openai_error
from tests.contracts.threads import api_on_a_socket, in_a_thread

ROOT = Path(__file__).parents[2]
LOCAL = ("127.0.0.0/8",)
WORDS = "".join(Script().words)
QUESTION: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "Hi?"}]}
COMPLETIONS = "/v1/chat/completions"
PARAMETERS = {"type": "object", "properties": {"a": {"type": "integer"}}}
_FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


@pytest.fixture
async def gateway(files: Files) -> AsyncIterator[Gateway]:
    async with gateway_on(await files.new(), allowed_addresses=LOCAL) as gateway:
        yield gateway


async def the_only_id(gateway: Gateway) -> str:
    [connection] = (await gateway.store.find(SYSTEM, Query())).items
    return connection.id


# ── Clients ──────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Documented:
    """The API on a socket, with one connection, and the examples of its page, with languages."""

    url: str
    key: str
    examples: list[tuple[str, str]]

    def example(self, language: str, word: str) -> str:
        """Returns the one example in this language that holds the word."""
        [text] = [text for kind, text in self.examples if kind == language and word in text]
        return text


@asynccontextmanager
async def _documented(url: str) -> AsyncIterator[Documented]:
    async with api_on_a_socket(url, allowed_addresses=LOCAL) as api, FaultyServer() as server:
        await api.gateway.connection(base_url=server.base_url)
        names = ("gateway.md", "clients.md")
        page = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in names)
        found = _FENCE.findall(page.replace("http://127.0.0.1:8787", api.url))
        yield Documented(api.url, api.keys["editor"], found)


@pytest.fixture
def documented(tmp_path: Path) -> Iterator[Documented]:
    with in_a_thread(_documented(f"sqlite:///{tmp_path}/api.sqlite3")) as documented:
        yield documented


@pytest.mark.parametrize(
    "word",
    ["chat.completions.create(", "responses.create(", "Anthropic(", " client.completions.create("],
)
def test_the_examples_for_sdks_in_python_print_the_answer(
    documented: Documented, word: str
) -> None:
    printed = io.StringIO()
    names: dict[str, Any] = {"openai": openai, "anthropic": anthropic, "KEY": documented.key}
    with redirect_stdout(printed):
        exec(documented.example("python", word), names)
    names["client"].close()
    assert printed.getvalue().strip() == WORDS


def test_the_example_for_livekits_plugin_makes_an_llm_that_answers(documented: Documented) -> None:
    names: dict[str, Any] = {"KEY": documented.key}
    exec(documented.example("python", "livekit.plugins"), names)

    async def ask() -> str:
        context = ChatContext.empty()
        context.add_message(role="user", content="Hi?")
        async with names["llm"] as llm:
            return str((await llm.chat(chat_ctx=context).collect()).text)

    assert asyncio.run(ask()) == WORDS


def test_the_example_for_curl_prints_the_stream(documented: Documented) -> None:
    command = documented.example("console", "curl").removeprefix("$ ")
    environ = {"PATH": os.environ["PATH"], "KEY": documented.key}
    done = subprocess.run(
        ["bash", "-c", command], env=environ, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.endswith("data: [DONE]\n\n")
    said = re.findall(r'"content":"([^"]*)"', done.stdout)
    assert "".join(said) == WORDS


# ── Keys ─────────────────────────────────────────────────────────────────────────────────────────


async def test_both_headers_of_a_key_get_the_same_answers(gateway: Gateway) -> None:
    async with one_server(gateway):
        key, viewer = gateway.keys["editor"], gateway.keys["viewer"]
        injected = "x' OR pg_sleep(8)--"
        for text, status in ((key, 200), (viewer, 403), (injected, 401), ("", 401)):
            forms: list[dict[str, str]] = [
                {"Authorization": f"Bearer {text}"},
                {"x-api-key": text},
            ]
            answers = [
                await gateway.call("", "POST", COMPLETIONS, QUESTION, headers=form)
                for form in forms
            ]
            assert [answer.status_code for answer in answers] == [status, status]
        refused = openai_error(answers[0], 401)
        assert (refused["code"], refused["type"]) == ("invalid_api_key", "authentication_error")


async def test_each_form_of_a_key_is_counted_together(files: Files) -> None:
    limit = RateLimit("2/hour")
    async with gateway_on(await files.new(), request_limit=limit) as gateway:
        key = gateway.keys["editor"]
        forms = [{"x-api-key": key}, {"Authorization": f"Bearer {key}"}, {"x-api-key": key}]
        answers = [await gateway.call("", "GET", "/v1/models", headers=form) for form in forms]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert openai_error(answers[2], 429)["code"] == "rate_limit_exceeded"
        assert int(answers[2].headers["retry-after"]) > 0


async def test_a_model_of_another_owner_is_the_same_as_none(gateway: Gateway) -> None:
    async with one_server(gateway, name="secret") as server:
        for model in ("secret", "nothing"):
            asked = {**QUESTION, "model": model}
            answer = await gateway.call(STRANGER, "POST", COMPLETIONS, asked)
            said = openai_error(answer, 404)
            assert (
                said["message"]
                .replace(repr(model), "it")
                .startswith("no model it for this API key; there is none: ")
            )
        assert (await gateway.call(STRANGER, "GET", "/v1/models")).json()["data"] == []
        assert not server.requests


async def test_a_failure_names_no_connection_that_the_key_may_not_see(gateway: Gateway) -> None:
    async with one_server(gateway, name="secret"):
        broken = Script(fault=Fault.STATUS, status=401)
        async with FaultyServer(broken) as server:
            await gateway.connection(STRANGER, base_url=server.base_url, name="mine")
            answer = await gateway.call(STRANGER, "POST", COMPLETIONS, QUESTION)
        said = openai_error(answer, 502)["message"]
        assert "mine" in said
        assert "secret" not in said


async def test_a_connection_not_for_automation_is_not_asked(gateway: Gateway) -> None:
    async with one_server(gateway, use_in_automation=False) as server:
        answer = await gateway.call("editor", "POST", COMPLETIONS, QUESTION)
        openai_error(answer, 404)
        assert not server.requests


# ── Replies ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_reply_says_who_gave_it_and_counts_as_use(gateway: Gateway) -> None:
    async with one_server(gateway, api_key="sk-0123456789-wxyz") as server:
        asked = {**QUESTION, "user": "ann", "reasoning_effort": "high", "api_base": "http://evil"}
        answer = await gateway.call("editor", "POST", COMPLETIONS, asked)
        reply = answer.json()
        assert reply["choices"][0]["message"]["content"] == WORDS
        assert reply["model"] == answer.headers["x-patchbay-model"] == "m"
        assert answer.headers["x-patchbay-connection"] == "desk"
        assert answer.headers["cache-control"] == "no-store"
        [sent] = server.requests
        assert (sent.body["user"], sent.body["reasoning_effort"]) == ("ann", "high")
        assert "api_base" not in sent.body
        assert reply["usage"]["completion_tokens"] > 0
        await gateway.services.chat_router.aclose()  # which writes the rest of its usage
        path = f"/connections/{await the_only_id(gateway)}/usage"
        [used] = (await gateway.call("editor", "GET", path)).json()["latest"]
        assert used["integration"] == "automation"
        assert used["tokens_out"] == reply["usage"]["completion_tokens"]


async def test_the_id_of_a_reply_is_in_the_log_and_no_word_of_it(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with one_server(gateway) as server:
        for script, status in ((Script(), 200), (Script(fault=Fault.REFUSE), 502)):
            await server.behave(script)
            answer = await gateway.call("editor", "POST", COMPLETIONS, QUESTION)
            assert answer.status_code == status
            assert answer.headers["x-request-id"] in caplog.text
    assert "Hi?" not in caplog.text
    assert WORDS not in caplog.text


async def test_the_requests_own_fields_reach_the_server(gateway: Gateway) -> None:
    call = ToolCall("call_1", "lookup", '{"a": 1}')
    tool = {"type": "function", "function": {"name": "lookup", "parameters": PARAMETERS}}
    fields = {
        "tools": [tool], "tool_choice": "required", "parallel_tool_calls": False, "seed": 4,
        "stop": ["END"], "temperature": 0.5, "max_completion_tokens": 9, "top_k": 3,
    }  # fmt: skip
    async with one_server(gateway, Script(words=(), tool_calls=[call])) as server:
        answer = await gateway.call("editor", "POST", COMPLETIONS, {**QUESTION, **fields})
        [made] = answer.json()["choices"][0]["message"]["tool_calls"]
        assert made["function"] == {"name": "lookup", "arguments": '{"a": 1}'}
        body = server.requests[0].body
        assert body["tools"] == [tool]
        assert {name: body[name] for name in ("tool_choice", "seed", "stop", "temperature", "top_k")
                } == {"tool_choice": "required", "seed": 4, "stop": ["END"], "temperature": 0.5,
                      "top_k": 3}  # fmt: skip
        assert body["max_tokens"] == 9


async def test_two_servers_of_one_model_share_its_name(gateway: Gateway) -> None:
    broken = Script(fault=Fault.RESET_AFTER)
    async with (
        one_server(gateway, broken, name="a", model_name="qwen"),
        one_server(gateway, name="b", model_name="qwen", priority=1),
        one_server(gateway, name="c", model_name="other", priority=-1) as other,
    ):
        asked = {**QUESTION, "model": "qwen"}
        answer = await gateway.call("editor", "POST", COMPLETIONS, asked)
        assert answer.json()["choices"][0]["message"]["content"].startswith(WORDS[:10])
        assert not other.requests


async def test_a_deactivated_connection_leaves_the_list(gateway: Gateway) -> None:
    async with one_server(gateway):
        names = [
            m["id"] for m in (await gateway.call("editor", "GET", "/v1/models")).json()["data"]
        ]
        assert names == ["auto", "desk", "default", "m"]
        one = (await gateway.call("editor", "GET", "/v1/models/desk")).json()
        assert (one["object"], one["owned_by"]) == ("model", "patchbay:connection")
        path = f"/connections/{await the_only_id(gateway)}/deactivate"
        await gateway.call("editor", "POST", path)
        async with asyncio.timeout(30):
            while (await gateway.call("editor", "GET", "/v1/models")).json()["data"]:
                await SystemClock().sleep(0.05)


async def test_a_key_has_so_many_replies_at_a_time(files: Files) -> None:
    places = ReplyPlaces(most_per_key=1)
    url = await files.new()
    hangs = Script(fault=Fault.HANG_BEFORE_HEADERS)
    async with (
        gateway_on(url, allowed_addresses=LOCAL, reply_places=places) as gateway,
        one_server(gateway, hangs) as server,
    ):
        first = asyncio.create_task(gateway.call("editor", "POST", COMPLETIONS, QUESTION))
        await server.received()
        second = await gateway.call("editor", "POST", COMPLETIONS, QUESTION)
        assert openai_error(second, 429)["code"] == "busy"
        assert second.headers["retry-after"] == "1"
        openai_error(await gateway.call("admin", "POST", COMPLETIONS, {"messages": 1}), 400)
        await server.behave(Script())
        first.cancel()
        await asyncio.wait({first})
        third = await gateway.call("editor", "POST", COMPLETIONS, QUESTION)
        assert third.status_code == 200, third.text


@pytest.mark.parametrize(
    ("path", "hint"),
    [("/v1/v1/chat/completions", "/v1 twice"), ("/chat/completions", "end in /v1"),
     ("/v1/batches", "llm-router batch"), ("/v1/files", "llm-router batch"),
     ("/v1/nothing", "Not Found")],
)  # fmt: skip
async def test_a_path_that_is_not_served_says_what_to_do_instead(
    gateway: Gateway, path: str, hint: str
) -> None:
    answer = await gateway.client.post(path, json=QUESTION)
    assert answer.status_code == 404
    assert hint in answer.text


async def test_errors_below_v1_have_openais_form(gateway: Gateway) -> None:
    for method, path, status in (("GET", "/v1/nothing", 404), ("PUT", COMPLETIONS, 405)):
        openai_error(await gateway.call("editor", method, path), status)
    large = await gateway.client.post(
        COMPLETIONS,
        content=b" " * 8_000_001,
        headers={"Authorization": f"Bearer {gateway.keys['editor']}"},
    )
    assert openai_error(large, 413)["code"] == "body_too_large"
    bad = httpx2.Headers({"Authorization": f"Bearer {gateway.keys['editor']}"})
    answer = await gateway.client.post(COMPLETIONS, content=b"{", headers=bad)
    assert openai_error(answer, 400)["code"] == "invalid_json"
