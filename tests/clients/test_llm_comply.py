"""Runs llm-comply, a compliance suite for OpenAI's API, unmodified against the HTTP process.

It is installed in an environment of its own.
"""

import json
from pathlib import Path

import pytest

from deploy import environments
from tests.clients.served import MODEL, gateway

pytestmark = pytest.mark.live


async def test_every_test_of_the_suite_passes(tmp_path: Path) -> None:
    program = environments.provide("llm-comply", "llm-comply").with_name("llm-comply")
    async with gateway(tmp_path) as served:
        arguments = ["--format", "openai-chat", "-u", f"{served.url}/v1", "-m", MODEL, "--json"]
        results = json.loads(await served.run(program, *arguments, "-k", served.key))["summary"]
    assert results["failed"] == results["skipped"] == 0, results
    assert results["passed"] == results["total"] >= 9
