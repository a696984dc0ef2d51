"""Tests docker-compose.yml as Docker Compose's own library reads it, profile by profile."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy import paths, stamps, toolchain
from deploy.console import Step

COMPOSE = paths.ROOT / "docker-compose.yml"
CHECKER = Path(__file__).parent / "compose_check"
KEYS = {"LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "secret-of-the-test"}
ALWAYS = {"livekit", "worker", "api"}
PROFILES = {
    "": set[str](),
    "vllm": {"vllm"},
    "ollama": {"ollama", "ollama-models-owner"},
    "sip": {"sip", "redis"},
    "scale": {"postgres", "redis"},
}

Load = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds the checker, once for its sources, in the cache."""
    sources = stamps.digest_files(CHECKER, CHECKER.iterdir())
    folder = paths.cache_folder() / "compose-check" / sources[:16]
    if not folder.is_dir():
        with stamps.staged(folder) as staging:
            step = Step("compose check", tmp_path_factory.mktemp("logs") / "build.log")
            go = toolchain.find_go((1, 26)) or toolchain.fetch_go(staging / "go", step)
            step.run(
                [go, "build", "-o", staging / "compose-check", "."],
                cwd=CHECKER,
                environ={"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"},
                remedy="check that this machine reaches a Go module proxy",
            )
            stamps.remove(staging / "go")
    return folder / "compose-check"


@pytest.fixture
def load(checker: Path, tmp_path: Path) -> Load:
    """Loads a compose file's text, with only this environment."""

    def run(text: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        file = tmp_path / "docker-compose.yml"
        file.write_text(text)
        return subprocess.run(
            [checker, file],
            cwd=tmp_path,
            env={"PATH": os.defpath, **environ},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def services(load: Load, **environ: str) -> dict[str, Any]:
    answer = load(COMPOSE.read_text(), **KEYS, **environ)
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)["services"]
    return found


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_adds_its_services_and_no_others(load: Load, profile: str) -> None:
    assert set(services(load, COMPOSE_PROFILES=profile)) == ALWAYS | PROFILES[profile]


def test_all_profiles_fit_together(load: Load) -> None:
    assert set(services(load, COMPOSE_PROFILES="*")) == ALWAYS.union(*PROFILES.values())


def test_every_service_is_pinned_and_unprivileged(load: Load) -> None:
    for name, service in services(load, COMPOSE_PROFILES="*").items():
        assert "build" in service or re.search(r":v?\d+\.\d+", service["image"]), name
        assert service["cap_drop"] == ["ALL"], name
        assert "privileged" not in service, name


def test_a_service_waits_for_those_it_needs_to_be_healthy(load: Load) -> None:
    found = services(load, COMPOSE_PROFILES="*")
    for name, service in found.items():
        for needed, how in (service.get("depends_on") or {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in found[needed], (name, needed)


def test_ports_are_published_on_loopback_unless_asked_otherwise(load: Load) -> None:
    for name, service in services(load, COMPOSE_PROFILES="*").items():
        for port in service.get("ports") or []:
            assert port["host_ip"] == "127.0.0.1", name
    opened = services(load, BIND_ADDRESS="0.0.0.0")
    assert opened["api"]["ports"][0]["host_ip"] == "0.0.0.0"


@pytest.mark.parametrize("missing", KEYS)
def test_no_stack_starts_without_keys_of_its_own(load: Load, missing: str) -> None:
    answer = load(COMPOSE.read_text(), **{**KEYS, missing: ""})
    assert answer.returncode == 1
    assert missing in answer.stderr
    assert "make keys" in answer.stderr


def test_a_redis_is_named_to_livekit_only_when_asked_for(load: Load) -> None:
    assert services(load)["livekit"]["environment"]["REDIS_HOST"] == ""
    named = services(load, COMPOSE_PROFILES="sip", REDIS_HOST="redis:6379")
    assert named["livekit"]["environment"]["REDIS_HOST"] == "redis:6379"


def test_the_model_and_its_size_are_settings(load: Load) -> None:
    chosen = services(
        load, COMPOSE_PROFILES="vllm", DEFAULT_MODEL="a/b", TP_SIZE="2", MAX_MODEL_LEN="4096"
    )
    assert chosen["vllm"]["command"][:3] == [
        "--model=a/b",
        "--tensor-parallel-size=2",
        "--max-model-len=4096",
    ]


def test_the_named_livekit_configurations_are_shipped() -> None:
    shipped = {file.stem for file in (paths.ROOT / "deploy" / "livekit").glob("*.yaml")}
    assert {"local", "public"} <= shipped
    assert "LIVEKIT_NETWORK:-local" in COMPOSE.read_text()


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("healthcheck:", "heathcheck:"),
        ("condition: service_healthy}", "condition: healthy}"),
        ("      livekit: {condition", "      livekitt: {condition"),
    ],
)
def test_a_mistake_in_the_file_is_found(load: Load, right: str, wrong: str) -> None:
    text = COMPOSE.read_text()
    assert right in text
    answer = load(text.replace(right, wrong, 1), **KEYS, COMPOSE_PROFILES="*")
    assert answer.returncode == 1
    assert answer.stderr
