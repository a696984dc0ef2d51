"""Tests `python -m agent.gateway`: what it serves, and how its processes share the work."""

import asyncio
import os
import signal
from pathlib import Path

import httpx2
import pytest
from fastapi.routing import iter_route_contexts
from pydantic import SecretStr

from agent.gateway import build_app
from agent.http_process import listen
from config.settings import Settings
from llm_router.clock import SystemClock
from llm_router.settings.loading import SettingsError
from llm_router.testing.server import FaultyServer
from tests.contracts.api_process import Serving, admin_key, isolated_environ, process, serving
from tests.contracts.gateway import Gateway

MODULE = "agent.gateway"
QUESTION = {"model": "auto", "messages": [{"role": "user", "content": "Hi?"}], "stream": True}


def gateway_environ(folder: Path, **variables: str) -> dict[str, str]:
    return {**isolated_environ(folder), "GATEWAY_PORT": "0", **variables}


def children(here: Serving) -> list[int]:
    """Returns the processes that a process has started and that run."""
    tasks = Path(f"/proc/{here.running.pid}/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


async def logged(here: Serving, text: str, times: int) -> None:
    """Waits until the processes have logged a text so many times."""
    async with asyncio.timeout(60):
        while sum(text in line for line in here.log) < times:
            await SystemClock().sleep(0.05)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


async def is_gone(pid: int) -> None:
    async with asyncio.timeout(20):
        while runs(pid):
            await SystemClock().sleep(0.05)


async def test_it_serves_v1_and_how_it_is_but_neither_management_nor_page(tmp_path: Path) -> None:
    async with FaultyServer() as server:
        row = {"name": "desk", "base_url": server.base_url, "model_name": "m"}
        async with serving(tmp_path, **isolated_environ(tmp_path)) as api:
            headers = {"x-api-key": admin_key(tmp_path)}
            async with httpx2.AsyncClient(base_url=api.url, headers=headers) as client:
                made = await client.post("/api/connections", json=row)
                assert made.status_code == 201, made.text
        async with (
            serving(tmp_path, module=MODULE, **gateway_environ(tmp_path)) as here,
            httpx2.AsyncClient(base_url=here.url, headers=headers) as client,
        ):
            answer = await client.post("/v1/chat/completions", json=QUESTION)
            assert answer.text.endswith("data: [DONE]\n\n"), answer.text
            paths = ("/v1/models", "/healthz", "/readyz", "/", "/api/connections", "/token")
            statuses = [(await client.get(path)).status_code for path in paths]
            assert statuses == [200, 200, 200, 404, 404, 404]
            anonymous = await client.get("/v1/models", headers={"x-api-key": ""})
            assert anonymous.status_code == 401
            here.running.send_signal(signal.SIGTERM)
            assert await here.running.wait() == 0
        assert "Traceback" not in "".join(here.log)


async def test_its_routes_are_those_of_v1_and_of_its_state(gateway: Gateway) -> None:
    settings = Settings(livekit_api_key="key", livekit_api_secret=SecretStr("secret"))
    app = build_app(settings, gateway.services)
    paths = {route.path or "" for route in iter_route_contexts(app.routes)}
    assert {path for path in paths if not path.startswith("/v1/")} == {
        "/metrics", "/healthz", "/readyz",
    }  # fmt: skip


async def test_several_processes_share_a_port_and_one_that_dies_is_replaced(tmp_path: Path) -> None:
    environ = gateway_environ(tmp_path, GATEWAY_PROCESSES="2")
    async with serving(tmp_path, module=MODULE, **environ) as here:
        await logged(here, "serving http://", 2)
        first, second = children(here)
        os.kill(first, signal.SIGKILL)
        await logged(here, "another takes its place", 1)
        await logged(here, "serving http://", 3)
        headers = {"x-api-key": admin_key(tmp_path)}
        for _ in range(4):
            async with httpx2.AsyncClient(base_url=here.url, headers=headers) as client:
                assert (await client.get("/v1/models")).status_code == 200
        again = [pid for pid in children(here) if pid != second]
        here.running.send_signal(signal.SIGTERM)
        assert await here.running.wait() == 0
        for pid in (second, *again):
            await is_gone(pid)


async def test_its_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    environ = gateway_environ(tmp_path, GATEWAY_PROCESSES="2")
    async with serving(tmp_path, module=MODULE, **environ) as here:
        await logged(here, "serving http://", 2)
        started = children(here)
        await here.kill()
        for pid in started:
            await is_gone(pid)


async def test_help_names_its_settings(tmp_path: Path) -> None:
    async with process(tmp_path, "--help", module=MODULE) as running:
        out, _ = await running.communicate()
    assert running.returncode == 0
    assert b"GATEWAY_PROCESSES" in out


def test_a_taken_port_is_named_with_the_variable_to_change() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port} is taken.*GATEWAY_PORT"):
            listen("127.0.0.1", port, "GATEWAY")
    with pytest.raises(SettingsError, match="HTTP_HOST"):
        listen("192.0.2.1", 0, "GATEWAY")
