"""Tests `python -m agent.worker start` with invalid settings: one readable message and status 2."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.contracts import worker_starts

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-of-more-than-thirty-two-characters"


def settings_of(folder: Path) -> dict[str, str]:
    """Returns settings that work, of a worker whose LiveKit server is down."""
    connections = folder / "connections.json"
    if not connections.exists():
        connections.write_text('[{"name": "desk", "provider": "offline"}]')
    prompts = ROOT / "config" / "prompts"
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "LIVEKIT_URL": "ws://127.0.0.1:9",  # nothing listens there
        "LIVEKIT_API_KEY": "key",
        "LIVEKIT_API_SECRET": SECRET,
        "CONNECTIONS_FILE": str(connections),
        "ASSISTANT_PROMPT_FILE": str(prompts / "assistant.md"),
        "PHRASES_FILE": str(prompts / "phrases.toml"),
    }


def start(folder: Path, settings: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs the worker in `folder` with these settings in place of ones that work."""
    return subprocess.run(
        [sys.executable, "-m", "agent.worker", "start"],
        cwd=folder,
        env={**settings_of(folder), **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


Start = Callable[[Path, Mapping[str, str]], tuple[int, str]]


@pytest.fixture(scope="module")
def start_again() -> Iterator[Start]:
    """Starts the worker in one process for all tests; returns its exit code and what it wrote."""
    with subprocess.Popen(
        [sys.executable, "-m", worker_starts.__name__],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def start_again(folder: Path, settings: Mapping[str, str]) -> tuple[int, str]:
            assert process.stdin
            assert process.stdout
            environ = {**settings_of(folder), **settings}
            process.stdin.write(json.dumps([str(folder), environ]) + "\n")
            process.stdin.flush()
            status, written = json.loads(process.stdout.readline())
            return status, written

        yield start_again


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"STT_ENGINE": "parrot"}, ["STT", "parrot", "embedded", "openai"]),
        ({"TTS_ENGINE": "parrot"}, ["TTS", "parrot", "embedded", "openai"]),
        ({"ROUTER_POLICY": "astrology"}, ["policy", "astrology", "latency", "priority"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_setting_is_named_with_the_valid_values(
    start_again: Start, tmp_path: Path, settings: Mapping[str, str], expected: list[str]
) -> None:
    status, written = start_again(tmp_path, settings)
    assert status == 2
    assert "Traceback" not in written
    assert [word for word in expected if word not in written] == []
    assert SECRET not in written


def test_a_setting_that_is_missing_ends_the_process_and_is_named(tmp_path: Path) -> None:
    ended = start(tmp_path, {"LIVEKIT_URL": "wss://calls.example", "LIVEKIT_API_KEY": ""})
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert "LIVEKIT_API_KEY is not set" in ended.stderr
    assert SECRET not in ended.stderr


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{not json", ["connections.json", "JSON"]),
        (
            '[{"name": "desk", "provider": "pigeon", "api_key": "sk-secret-of-mine"}]',
            ["pigeon", "openai_compatible", "offline"],
        ),
    ],
)
def test_an_invalid_connections_file_is_named(
    start_again: Start, tmp_path: Path, content: str, expected: list[str]
) -> None:
    (tmp_path / "connections.json").write_text(content)
    status, written = start_again(tmp_path, {})
    assert status == 2
    assert "Traceback" not in written
    assert [word for word in expected if word not in written] == []
    assert "sk-secret-of-mine" not in written


def test_a_worker_logs_the_command_for_each_connection_that_it_does_not_use(tmp_path: Path) -> None:
    named = '[{"name": "desk", "base_url": "http://127.0.0.1:1/v1", "model": "m"}]'
    (tmp_path / "connections.json").write_text(named)
    add = ("connections", "add", "stored", "--provider", "offline", "--no-test")
    llm_router = [sys.executable, "-m", "llm_router.cli", *add]
    subprocess.run(llm_router, cwd=tmp_path, env=settings_of(tmp_path), timeout=60, check=True)
    in_demo = {"DEMO": "true"}  # in which a LiveKit server that is down ends the worker
    logged = start(tmp_path, in_demo).stdout
    assert "llm-router connections add desk --base-url http://127.0.0.1:1/v1 --model m" in logged
