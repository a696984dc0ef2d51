"""Runs llm-comply, a compliance suite for OpenAI's API, unmodified against the HTTP process.

It is installed in an environment of its own. The model behind the gateway is a
scripted one that calls a tool where there is one: what is tested is the form of the replies.
"""

import asyncio
import json
from asyncio.subprocess import PIPE
from pathlib import Path

import httpx2
import pytest

from deploy import environments
from llm_router.testing.server import FaultyServer, Script
from llm_router.types import ToolCall
from tests.contracts.api_process import admin_key, isolated_environ, serving

pytestmark = pytest.mark.live

MODEL = "gpt-5-mini"
"""A name that has the suite ask for reasoning as well."""


@pytest.fixture(scope="session")
def program() -> Path:
    return environments.provide("llm-comply", "llm-comply").with_name("llm-comply")


async def test_every_test_of_the_suite_passes(program: Path, tmp_path: Path) -> None:
    def behaviour(number: int) -> Script:
        if tools := server.requests[number].body.get("tools"):
            call = ToolCall("call_1", tools[0]["function"]["name"], '{"location": "Paris"}')
            return Script(words=(), tool_calls=[call])
        return Script()

    server = FaultyServer(behaviour)
    async with server, serving(tmp_path, **isolated_environ(tmp_path)) as here:
        key = admin_key(tmp_path)
        async with httpx2.AsyncClient(base_url=here.url, headers={"x-api-key": key}) as client:
            row = {"name": "desk", "base_url": server.base_url, "model_name": MODEL}
            made = await client.post("/api/connections", json={**row, "supports_images": True})
            assert made.status_code == 201, made.text
        results = await complied(program, f"{here.url}/v1", key)
    assert results["failed"] == results["skipped"] == 0, results
    assert results["passed"] == results["total"] >= 9


async def complied(program: Path, url: str, key: str) -> dict[str, int]:
    """Returns the summary that the suite prints."""
    arguments = ["--format", "openai-chat", "-u", url, "-k", key, "-m", MODEL, "--json"]
    running = await asyncio.create_subprocess_exec(program, *arguments, stdout=PIPE, stderr=PIPE)
    printed, errors = await running.communicate()
    assert printed, errors.decode()
    summary: dict[str, int] = json.loads(printed)["summary"]
    return summary
