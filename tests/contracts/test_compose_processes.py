"""Tests each way to start the containers: what `make up` decides is rendered by Compose's own
library, and the commands of the containers run with the environment of the containers.
"""

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deploy import media_server, paths, probes
from deploy.containers import make_plan
from deploy.ports import free_ports
from deploy.services import LiveKit, livekit_service
from deploy.supervisor import Service, Supervisor
from llm_router.testing.server import FaultyServer
from tests.contracts.composed import KEYS, Load, services
from tests.contracts.databases import Postgres

READY_WITHIN = 200.0  # s; a busy machine needs long for the first call process
CLOUD = "wss://desk.livekit.cloud"


def started(load: Load, *profiles: str, **env_file: str) -> dict[str, Any]:
    """Returns the services that `make up` starts with these profiles and lines in .env."""
    values = {**KEYS, **env_file}
    plan = make_plan(values, profiles, lambda: "a-password-of-the-test")
    chosen = {"COMPOSE_PROFILES": ",".join(plan.profiles)}
    return services(load, **{**values, **plan.secrets, **plan.variables, **chosen})


def test_nothing_set_starts_the_bundled_livekit(load: Load) -> None:
    found = started(load)
    assert set(found) == {"worker", "api", "livekit"}
    for name in ("worker", "api"):
        assert found[name]["environment"]["LIVEKIT_URL"] == "ws://livekit:7880"
    assert found["api"]["environment"]["LIVEKIT_PUBLIC_URL"] == "ws://127.0.0.1:7880"
    environment = found["livekit"]["environment"]
    assert environment["LIVEKIT_KEYS"] == ": ".join(KEYS.values())
    assert environment["REDIS_HOST"] == "", "it does not start if a Redis that it names is down"


@pytest.mark.parametrize("url", [CLOUD, "ws://127.0.0.1:7880"])
def test_another_livekit_is_used_and_none_is_started(load: Load, url: str) -> None:
    found = started(load, LIVEKIT_URL=url)
    assert set(found) == {"worker", "api"}
    for name in ("worker", "api"):
        assert found[name]["environment"]["LIVEKIT_URL"] == url
        assert not any(one["required"] for one in found[name]["depends_on"].values())
    assert found["api"]["environment"]["LIVEKIT_PUBLIC_URL"] == url


def test_scale_gives_every_process_the_database_and_redis(load: Load) -> None:
    found = started(load, "scale")
    password = found["postgres"]["environment"]["POSTGRES_PASSWORD"]
    assert password == "a-password-of-the-test"
    for name in ("worker", "api"):
        environment = found[name]["environment"]
        assert environment["DATABASE_URL"] == f"postgresql://patchbay:{password}@postgres/patchbay"
        assert environment["REDIS_URL"] == "redis://redis:6379/0"
        assert {"livekit", "postgres", "redis"} <= set(found[name]["depends_on"])
    assert found["livekit"]["environment"]["REDIS_HOST"] == "redis:6379"


@pytest.mark.parametrize("profile", ["ollama", "ollama-gpu"])
def test_ollama_serves_the_default_model_to_the_agent(load: Load, profile: str) -> None:
    found = started(load, profile, DEFAULT_MODEL="qwen3:8b")
    assert found["worker"]["environment"]["OLLAMA_BASE_URL"] == "http://ollama:11434"
    assert found[profile]["environment"]["MODEL"] == "qwen3:8b"


def test_tls_serves_both_names_and_trusts_its_own_proxy(load: Load) -> None:
    found = started(load, "tls", DOMAIN="talk.test", LIVEKIT_DOMAIN="lk.test")
    assert set(found) == {"worker", "api", "caddy", "livekit-public"}
    environment = found["api"]["environment"]
    assert environment["LIVEKIT_PUBLIC_URL"] == "wss://lk.test"
    assert environment["TRUSTED_PROXIES"].startswith("172.16.0.0/12")
    assert found["livekit-public"]["environment"]["LIVEKIT_TURN_DOMAIN"] == "lk.test"
    alone = started(load, "tls", DOMAIN="talk.test", LIVEKIT_URL=CLOUD)
    assert set(alone) == {"worker", "api", "caddy"}
    assert alone["caddy"]["environment"]["LIVEKIT_DOMAIN"] == "http://livekit.invalid"


FAKE_OLLAMA = """#!/bin/sh
echo "$@" >> "$LOG"
case $1 in
serve) trap 'echo stopped >> "$LOG"; kill $!; exit 0' TERM
  sleep 60 & touch "$MODELS/serving"; wait ;;
list) [ -e "$MODELS/serving" ] ;;
show) [ -e "$MODELS/$2" ] && kill "$CONTAINER" ;;
pull) kill "$CONTAINER"; [ "$2" != no-such-model ] ;;
esac
"""
"""Asks the container to stop once its model is served, or cannot be fetched."""


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("there", ["show there", "stopped"]),
        ("missing", ["show missing", "pull missing", "stopped"]),
        ("no-such-model", ["show no-such-model", "pull no-such-model", "stopped"]),
    ],
)
def test_a_missing_model_is_fetched_and_the_server_stops_when_asked(
    load: Load, tmp_path: Path, model: str, asked: list[str]
) -> None:
    service = started(load, "ollama", DEFAULT_MODEL=model)["ollama"]
    program, log = tmp_path / "ollama", tmp_path / "log"
    program.write_text(FAKE_OLLAMA)
    program.chmod(0o700)
    (tmp_path / "there").touch()
    script = "export CONTAINER=$$; " + service["command"][0].replace("$$", "$")
    environ = {"PATH": f"{tmp_path}:{os.defpath}", "LOG": str(log), "MODELS": str(tmp_path)}
    ended = subprocess.run(
        [*service["entrypoint"], script],
        env={**environ, "MODEL": service["environment"]["MODEL"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = log.read_text().splitlines()
    assert "serve" in lines
    assert [line for line in lines if line.startswith(("show", "pull", "stopped"))] == asked
    assert ("correct DEFAULT_MODEL" in ended.stderr) == (model == "no-such-model")


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Supervisor]:
    running = Supervisor(tmp_path)
    yield running
    await running.stop()


def outside(service: dict[str, Any], folder: Path, ready: str, **changed: str) -> Service:
    """Returns the container's command with its environment, for this machine."""
    return Service(
        service["command"][0],
        ("env", "-C", str(folder), sys.executable, "-m", *service["command"]),
        lambda _: probes.answers(ready),
        {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(paths.ROOT),
            "HOME": str(folder),
            **service["environment"],
            "WORKER_LOAD_LIMIT": "0",  # a busy machine is full at once
            **changed,
        },
        ready_within=READY_WITHIN,
    )


@pytest.mark.timeout(500)
async def test_the_containers_work_with_a_livekit_a_database_and_a_model_of_the_machine(
    load: Load, tmp_path: Path, processes: Supervisor, postgres: Postgres
) -> None:
    """The addresses in .env are loopback ones where nothing listens: 127.0.0.2 is the machine as
    .env names it, and LOOPBACK_HOST is where the container finds it.
    """
    ports = free_ports()
    livekit = LiveKit(
        url=f"ws://127.0.0.1:{ports.livekit_port}",
        key="machine",
        secret=secrets.token_urlsafe(32),
        ours=True,
    )
    program = await asyncio.to_thread(media_server.LIVEKIT.provide)
    await processes.start(livekit_service(program, livekit, ports))
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "prompts").symlink_to(paths.ROOT / "config" / "prompts")
    async with FaultyServer() as model:
        found = started(
            load,
            LIVEKIT_URL=livekit.url.replace("127.0.0.1", "127.0.0.2"),
            LIVEKIT_API_KEY=livekit.key,
            LIVEKIT_API_SECRET=livekit.secret,
            DATABASE_URL=(await postgres.new()).replace("127.0.0.1", "127.0.0.2"),
            VLLM_BASE_URL=model.base_url.replace("127.0.0.1", "127.0.0.2"),
            LOOPBACK_HOST="127.0.0.1",
        )
        assert set(found) == {"worker", "api"}
        worker, page = (f"http://127.0.0.1:{p}" for p in (ports.worker_port, ports.http_port))
        await processes.start(
            outside(found["worker"], tmp_path, f"{worker}/", WORKER_PORT=str(ports.worker_port)),
            outside(found["api"], tmp_path, f"{page}/readyz", HTTP_PORT=str(ports.http_port)),
        )
        async with httpx2.AsyncClient(base_url=page) as client:
            token = (await client.post("/token")).json()
    assert f"{model.model} at {model.base_url}" in (tmp_path / "agent.worker.log").read_text()
    assert token["server_url"].endswith(f"127.0.0.2:{ports.livekit_port}")
    assert (tmp_path / ".local/state/patchbay/admin.key").stat().st_size
    for log in ("agent.worker.log", "agent.api.log"):
        assert "127.0.0.1 is this container" in (tmp_path / log).read_text()
