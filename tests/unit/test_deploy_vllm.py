"""Tests the suggested number of callers, and that both ways to start vLLM agree."""

import re
import subprocess
import sys

import pytest

from deploy import paths
from deploy.vllm.suggest import measure, suggest_max_callers
from llm_router.connections.record import Connection
from llm_router.testing.server import Fault, FaultyServer, Script

README = paths.ROOT / "deploy" / "vllm" / "README.md"


@pytest.mark.parametrize(
    ("measured", "callers"),
    [
        ({1: [0.1], 2: [0.2, 0.3], 4: [0.2, 0.2, 0.2, 0.9]}, 2),
        ({1: [0.1], 2: [0.9, 0.9], 4: [0.1, 0.1, 0.1, 0.1]}, 1),
        ({1: [0.1], 2: [0.2, 0.2]}, 2),
        ({1: [0.9]}, None),
        ({}, None),
    ],
)
def test_the_most_callers_that_are_answered_in_time(
    measured: dict[int, list[float]], callers: int | None
) -> None:
    assert suggest_max_callers(measured, 0.5) == callers


async def test_callers_are_doubled_until_it_is_too_slow() -> None:
    async with FaultyServer(Script(words=["Hello"])) as server:
        connection = Connection(name="x", base_url=server.base_url, server="vllm")
        quick = await measure(connection, target=60.0, most=5, rounds=2)
        assert {callers: len(times) for callers, times in quick.items()} == {1: 2, 2: 4, 4: 8}
        asked = [request.messages[0]["content"] for request in server.requests]
        assert len(set(asked)) == len(asked), "a prompt that was asked before is in the cache"
        slow = await measure(connection, target=-1.0, most=64, rounds=1)
    assert list(slow) == [1]


async def test_a_reply_without_a_word_counts_as_late() -> None:
    async with FaultyServer(Script(fault=Fault.EMPTY)) as server:
        connection = Connection(name="x", base_url=server.base_url, server="vllm")
        measured = await measure(connection, target=1.0, most=8, rounds=1)
    assert suggest_max_callers(measured, 1.0) is None


def test_a_missing_server_is_reported() -> None:
    command = [sys.executable, "-m", "deploy.vllm.suggest", "http://127.0.0.1:9/v1"]
    done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is vLLM running" in done.stderr


def test_the_container_and_the_command_have_the_same_flags_and_version() -> None:
    compose = (paths.ROOT / "docker-compose.yml").read_text()
    service = compose.partition("\n  vllm:")[2].partition("\n  ollama:")[0]
    container = set(re.findall(r"^ +- (--[a-z-]+)", service, re.MULTILINE))
    image = re.search(r"image: vllm/vllm-openai:v(\S+)", service)
    command = README.read_text().partition("vllm serve")[2].partition("```")[0]
    by_hand = set(re.findall(r"--[a-z-]+", command))
    assert container - {"--model", "--tensor-parallel-size"} == by_hand - {"--host", "--port"}
    pinned = (README.parent / "requirements-gpu.txt").read_text().split()[-1]
    assert image
    assert pinned == f"vllm=={image[1]}"
