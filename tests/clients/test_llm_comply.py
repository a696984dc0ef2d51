"""Runs llm-comply, a compliance suite of others, unmodified against the HTTP process: its tests of
OpenAI's API, of Open Responses and of Anthropic's API.

It is installed in an environment of its own.
"""

import json
from pathlib import Path

import httpx2
import pytest

from deploy import environments
from tests.clients.served import MODEL, Served, gateway

pytestmark = pytest.mark.live

_CLAUDE = "claude-sonnet-4"
"""A name that has the suite try thinking as well."""


@pytest.mark.parametrize(
    ("form", "model", "tests"),
    [("openai-chat", MODEL, 9), ("open-responses", MODEL, 13), ("anthropic", _CLAUDE, 9)],
)
async def test_every_test_of_the_suite_passes(
    tmp_path: Path, form: str, model: str, tests: int
) -> None:
    program = environments.provide("llm-comply", "llm-comply").with_name("llm-comply")
    async with gateway(tmp_path) as served:
        await _add_connection(served, _CLAUDE)
        arguments = ["--format", form, "-u", f"{served.url}/v1", "-m", model, "--json"]
        results = json.loads(await served.run(program, *arguments, "-k", served.key))["summary"]
    assert results["failed"] == results["skipped"] == 0, results
    assert results["passed"] == results["total"] >= tests


async def _add_connection(served: Served, name: str) -> None:
    """Adds a connection of this name to the first model."""
    row = {"name": name, "base_url": served.server.base_url, "model_name": MODEL, "priority": 2}
    headers = {"x-api-key": served.key}
    async with httpx2.AsyncClient(base_url=served.url, headers=headers) as client:
        made = await client.post("/api/connections", json={**row, "supports_images": True})
        assert made.status_code == 201, made.text
