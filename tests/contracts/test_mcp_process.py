"""The official client of MCP against real processes: over HTTP, over stdio, and through both."""

import asyncio
import json
import re
import tomllib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitRequestParams, ElicitResult

from llm_router.testing.script import Fault
from llm_router.testing.server import FaultyServer, Script
from tests.contracts import cli_process
from tests.contracts.api_process import Serving, admin_key, isolated_environ, serving
from tests.contracts.mcp_client import MODERN, Asking

WORDS = ("All", " is", " well.")


@dataclass
class Desk:
    """An HTTP process with one connection, `desk`, and the model server behind it."""

    folder: Path
    here: Serving
    key: str
    server: FaultyServer

    def http(self) -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx2.AsyncClient(base_url=self.here.url, headers=headers, timeout=60.0)

    def command(self, **variables: str) -> StdioServerParameters:
        program, *arguments = cli_process.command("mcp")
        env = {**cli_process.environ(self.folder, **variables)}
        return StdioServerParameters(command=program, args=arguments, env=env, cwd=self.folder)

    @asynccontextmanager
    async def asking(
        self, way: str, era: str, *, agrees: bool | None = None
    ) -> AsyncIterator[Asking]:
        async def answer(context: Any, params: ElicitRequestParams) -> ElicitResult:
            return ElicitResult(action="accept", content={"go_ahead": bool(agrees)})

        callback = None if agrees is None else answer
        async with self.http() as http:
            url = f"{self.here.url}/mcp"
            remote = {"PATCHBAY_API_URL": self.here.url, "PATCHBAY_API_KEY": self.key}
            there: Any
            match way:
                case "http":
                    there = streamable_http_client(url, http_client=http)
                case "stdio":
                    there = self.command()
                case _:
                    there = self.command(**remote)
            async with Client(there, mode=era, elicitation_callback=callback) as client:
                yield Asking(client)


@asynccontextmanager
async def desk(folder: Path, script: Script | None = None) -> AsyncIterator[Desk]:
    async with (
        FaultyServer(script or Script(words=WORDS)) as server,
        serving(folder, **isolated_environ(folder)) as here,
    ):
        found = Desk(folder, here, admin_key(folder), server)
        async with found.http() as http:
            row = {"name": "desk", "base_url": server.base_url, "model_name": "m"}
            assert (await http.post("/api/connections", json=row)).status_code == 201
        yield found


async def test_the_official_client_works_in_every_way_and_era(tmp_path: Path) -> None:
    async with desk(tmp_path) as found:
        for way in ("http", "stdio", "stdio over http"):
            for era in ("legacy", MODERN):
                async with found.asking(way, era) as asked:
                    assert {"query_desk", "why", "drain"} <= {*await asked.tools()}, (way, era)
                    words, account = await asked.texts("query_desk", prompt="Hi?")
                    assert (words, "Answered by desk" in account) == ("".join(WORDS), True)
                    assert "no connection 'attic'" in await asked.error(
                        "health", connection="attic"
                    )
                    if asked.client.protocol_version == MODERN:
                        await is_notified(asked, found, way.replace(" ", "_"))


async def is_notified(asked: Asking, found: Desk, name: str) -> None:
    """Checks that a client which listens learns of a new connection, and finds its tool."""
    row = {"name": name, "base_url": found.server.base_url, "model_name": "m"}
    async with (
        asked.client.listen(
            tools_list_changed=True, resource_subscriptions=["patchbay://board"]
        ) as changes,
        found.http() as http,
        asyncio.timeout(20),
    ):
        assert (await http.post("/api/connections", json=row)).status_code == 201
        events = {type(await anext(changes)).__name__ for _ in range(2)}
        assert events == {"ToolsListChanged", "ResourceUpdated"}
        assert f"query_{name}" in await asked.tools()


def examples(language: str) -> list[dict[str, Any]]:
    """Returns the configurations of docs/mcp.md in a language, each with one server."""
    parse = {"json": json.loads, "toml": tomllib.loads}[language]
    page = (Path(__file__).parents[2] / "docs" / "mcp.md").read_text(encoding="utf-8")
    found = [parse(block) for block in re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)]
    servers = [next(iter(one.values())) for one in found if "inputs" not in one]
    servers += [one["servers"] for one in found if "inputs" in one]
    return [one["patchbay"] for one in servers]


async def test_each_configuration_of_a_client_works(tmp_path: Path) -> None:
    """Fills in the address and the key, starts or asks what is configured, and lists its tools."""
    configured = [*examples("json"), *examples("toml")]
    assert sorted("command" in one for one in configured) == [False, False, False, True]
    async with desk(tmp_path) as found:

        def filled(text: str) -> str:
            text = text.replace("http://127.0.0.1:8787", found.here.url)
            return re.sub(r"pb_\.\.\.|\$\{input:patchbay\}", found.key, text)

        for server in configured:
            if "command" in server:
                assert Path(server["command"]).name == "llm-router"
                program, *arguments = cli_process.command(*server["args"])
                env = {name: filled(value) for name, value in server["env"].items()}
                env = {**cli_process.environ(found.folder), **env}
                there: Any = StdioServerParameters(
                    command=program, args=arguments, env=env, cwd=found.folder
                )
                async with Client(there, mode="legacy") as client:
                    assert (await client.list_tools()).tools
                continue
            headers = server.get("headers") or {"Authorization": "Bearer pb_..."}
            headers = {name: filled(value) for name, value in headers.items()}
            async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
                there = streamable_http_client(filled(server["url"]), http_client=http)
                async with Client(there, mode="legacy") as client:
                    assert (await client.list_tools()).tools


@pytest.mark.parametrize(
    ("way", "era"), [("stdio", "legacy"), ("stdio", MODERN), ("stdio over http", MODERN)]
)
async def test_a_client_of_the_command_asks_its_user(tmp_path: Path, way: str, era: str) -> None:
    async with desk(tmp_path) as found:
        async with found.asking(way, era, agrees=True) as asked:
            changed = await asked.texts("set_active", connection="desk", active=False)
            assert changed == ["desk is switched off."]
        async with found.http() as http:
            audit = (await http.get("/api/audit")).json()["items"][0]
        assert audit["origin"] == ("mcp" if way == "stdio" else "127.0.0.1")


@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
async def test_a_client_that_leaves_ends_the_request_to_the_server(
    tmp_path: Path, version: str
) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params: dict[str, Any] = {"name": "query_desk", "arguments": {"prompt": "Hi?"}}
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": version,
    }
    if version == "2026-07-28":
        params["_meta"] = meta
        headers |= {"mcp-method": "tools/call", "mcp-name": "query_desk"}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    script = Script(fault=Fault.STALL_AFTER, after=2)
    async with desk(tmp_path, script) as found, found.http() as http:
        call = asyncio.create_task(http.post("/mcp", json=body, headers=headers))
        await found.server.received()
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call
        assert await found.server.disconnected() is not None
        assert (await http.get("/healthz")).status_code == 200
    assert not [line for line in found.here.log if "Traceback" in line]


async def test_the_command_says_what_is_wrong_before_it_serves(tmp_path: Path) -> None:
    nowhere = {"PATCHBAY_API_URL": "http://127.0.0.1:9", "PATCHBAY_API_KEY": "pb_x"}
    code, out, err = await cli_process.ran(tmp_path, "mcp", **nowhere)
    assert (code, out) == (2, "")
    assert "does not answer" in err


async def test_the_command_ends_with_its_input_and_prints_nothing_but_messages(
    tmp_path: Path,
) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    typed = f"no message\n{json.dumps(message)}\n"
    code, out, _ = await cli_process.ran(tmp_path, "mcp", typed=typed)
    assert code == 0
    answers: list[Mapping[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert [answer["jsonrpc"] for answer in answers] == ["2.0"] * len(answers)
    assert any(answer.get("id") == 1 for answer in answers)
