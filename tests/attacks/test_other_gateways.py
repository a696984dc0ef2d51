"""Tries here what has broken other gateways; docs/security.md names each precedent."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import event

from llm_router.connections.access import SYSTEM
from llm_router.gateway.rates import RateLimit
from llm_router.store.api_keys import KeyLimits
from llm_router.store.key_format import make_key
from llm_router.testing.server import FaultyServer
from tests.contracts.databases import Server
from tests.contracts.gateway import HOST, Gateway, gateway_on

ROOT = Path(__file__).parents[2]
OFTEN = RateLimit("1000000/minute")
INJECTED = "x' OR pg_sleep(8)--"
FREE = {"/api/session", "/healthz", "/readyz", "/api/healthz"}
"""Paths that answer without a key."""
LOCAL = ("127.0.0.0/8",)


@pytest.fixture
async def api(server: Server) -> AsyncIterator[Gateway]:
    """The API on each kind of database."""
    limits: dict[str, Any] = {"unauthenticated_limit": OFTEN, "request_limit": OFTEN}
    async with gateway_on(await server.new(), allowed_addresses=LOCAL, **limits) as gateway:
        yield gateway


@pytest.fixture
async def elsewhere(api: Gateway) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the API on another machine."""
    transport = httpx2.ASGITransport(app=api.app, client=("10.0.0.9", 1))
    async with httpx2.AsyncClient(transport=transport, base_url=HOST) as client:
        yield client


async def openapi(gateway: Gateway) -> Mapping[str, Any]:
    document: Mapping[str, Any] = (await gateway.client.get("/api/openapi.json")).json()
    return document


def forms(text: str) -> list[dict[str, str]]:
    return [
        {"Authorization": f"Bearer {text}"},
        {"Authorization": f"Basic {text}"},
        {"x-api-key": text},
        {"Cookie": f"patchbay_session={text.replace(' ', '%20')}", "Origin": HOST},
    ]


async def test_no_text_of_a_key_becomes_sql_on_any_route(
    api: Gateway, elsewhere: httpx2.AsyncClient
) -> None:
    statements: list[str] = []

    def note(*arguments: Any) -> None:
        statements.append(arguments[2])

    event.listen(api.services.database.engine.sync_engine, "before_cursor_execute", note)
    texts = (INJECTED, f"pb_0123456789ab_{INJECTED}", make_key().text, "pb_" + "'" * 77)
    sent = [form for text in texts for form in forms(text)]
    for path, operations in (await openapi(api))["paths"].items():
        for method in operations:
            for headers in sent if path not in FREE else ():
                answer = await elsewhere.request(
                    method, re.sub("[{}]", "", path), headers=headers, json={}
                )
                assert answer.status_code == 401, (method, path, headers)
    assert statements
    assert not [one for one in statements if "pg_sleep" in one or "'''" in one]


@pytest.mark.parametrize(
    "host", ["a/?x=", "h/#", "patchbay.test/v1/models?x=", "@evil", "a/api/me", "[::1", ""]
)
async def test_a_host_that_looks_like_a_path_changes_no_right(api: Gateway, host: str) -> None:
    await limited_to_mcp(api)
    headers = {"Host": host, "X-Forwarded-Host": host, "X-Original-URL": "/api/me",
               "X-Forwarded-Prefix": "/mcp", "X-Forwarded-For": "127.0.0.1"}  # fmt: skip
    for who, status in (("nobody", 401), ("kim", 403), ("viewer", 403)):
        answer = await api.call(who, "GET", "/keys", headers=headers)
        assert answer.status_code == status, who


@pytest.mark.parametrize(
    "path",
    ["/api/me/../keys", "/mcp/../api/keys", "//api/keys", "/api//keys", "/api/keys/", "/API/keys",
     "/api/keys;/mcp", "/api/keys%2F", "/api/%6Beys", "/mcp%2f..%2fapi%2fkeys", "/v1/../api/keys",
     "/api/keys%00", "@evil/api/keys", "/api/keys?path=/mcp", "/api/keys#/mcp"],
)  # fmt: skip
async def test_no_way_of_writing_a_path_gets_around_the_scope_of_a_key(
    api: Gateway, path: str
) -> None:
    await limited_to_mcp(api)
    raw, _, query = path.partition("?")
    status = await asked(api, raw.partition("#")[0], query, api.keys["kim"])
    assert status in {403, 404, 405}
    assert await asked(api, "/api/keys", "", api.keys["admin"]) == 200


async def limited_to_mcp(api: Gateway) -> None:
    _, api.keys["kim"] = await api.services.keys.add(
        SYSTEM, "kim", "admin", limits=KeyLimits(routes=("mcp",))
    )


async def asked(api: Gateway, path: str, query: str, key: str) -> int:
    """Sends a request whose path no client has tidied; returns the status."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    decoded = path.replace("%2F", "/").replace("%2f", "/").replace("%6B", "k")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": decoded.replace("%00", "\0"), "raw_path": path.encode(),
        "query_string": query.encode(), "root_path": "", "server": ("patchbay.test", 80),
        "client": ("10.0.0.9", 1), "headers": [(b"x-api-key", key.encode())],
    }  # fmt: skip
    await api.app(scope, receive, send)
    return int(sent[0]["status"])


async def test_a_forged_scheme_changes_only_how_a_browser_stores_the_cookie(api: Gateway) -> None:
    forged = {"X-Forwarded-Proto": "https", "Forwarded": "proto=https;host=evil"}
    sign_in = {"api_key": api.keys["viewer"]}
    answer = await api.client.post("/api/session", json=sign_in, headers=forged)
    assert answer.status_code == 201
    assert "; secure" not in answer.headers["set-cookie"].lower()


def properties(schema: Any, schemas: Mapping[str, Any], seen: set[str]) -> Iterator[str]:
    """Yields the name of every property in a schema and in those that it refers to."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        if name and name not in seen:
            seen.add(name)
            yield from properties(schemas[name], schemas, seen)
        schema = [*schema.values()]
    if isinstance(schema, list):
        for each in schema:
            yield from properties(each, schemas, seen)


async def test_no_request_names_a_program_or_a_file_of_the_server(api: Gateway) -> None:
    document = await openapi(api)
    bodies = [
        body
        for operations in document["paths"].values()
        for operation in operations.values()
        for kind, body in operation.get("requestBody", {}).get("content", {}).items()
        if kind != "multipart/form-data"  # whose `file` is the content of one, not its name
    ]
    names = set(properties(bodies, document["components"]["schemas"], set()))
    assert "base_url" in names
    forbidden = {"command", "cmd", "args", "argv", "path", "file", "filename", "executable", "env",
                 "shell", "script", "module", "plugin", "import", "code", "stdio"}  # fmt: skip
    assert not names & forbidden


async def test_whatever_a_client_sends_the_request_goes_where_the_connection_says(
    api: Gateway,
) -> None:
    async with FaultyServer() as server, FaultyServer() as evil:
        await api.connection(base_url=server.base_url)
        body = {
            "model": "auto", "messages": [{"role": "user", "content": "Hi?"}],
            "api_base": evil.base_url, "base_url": evil.base_url, "api_key": "sk-evil",
            "extra_headers": {"X-Evil": "1"}, "chat_template": "{{ 7 * 7 }}",
            "prompt_embeds": "gAR9",
        }  # fmt: skip
        headers = {"x-portkey-custom-host": evil.base_url, "x-api-base": evil.base_url,
                   "x-portkey-provider": "openai", "X-Evil": "1"}  # fmt: skip
        answer = await api.call("editor", "POST", "/v1/chat/completions", body, headers=headers)
        assert answer.status_code == 200
        [sent] = server.requests
        assert not evil.requests
        assert sent.body.keys().isdisjoint(body.keys() - {"model", "messages"})
        assert "sk-evil" not in str(sent.body)
        assert not {name for name in sent.headers if "evil" in name.lower() or "portkey" in name}


async def test_what_answers_without_a_key_names_no_connection(
    api: Gateway, elsewhere: httpx2.AsyncClient
) -> None:
    await api.connection(name="desk")
    assert (await elsewhere.get("/healthz")).json() == {"status": "ok"}
    assert (await elsewhere.get("/readyz")).json() == {"status": "ready"}
    overview = await elsewhere.get("/api/healthz")
    assert overview.status_code == 200
    assert "desk" not in overview.text
    assert "93.184" not in overview.text
    for path in ("/metrics", "/api/metrics", "/api/analytics/summary", "/api/presets"):
        assert (await elsewhere.get(path)).status_code in {401, 404}, path


@pytest.mark.parametrize(
    "code",
    ["import pickle", "import marshal", "import shelve", "import yaml; yaml.load('')",
     "import yaml; yaml.unsafe_load('')", "import torch; torch.load('')", "eval('1')",
     "exec('1')"],
)  # fmt: skip
def test_the_linter_refuses_code_that_runs_what_it_reads(code: str) -> None:
    ruff = [sys.executable, "-m", "ruff", "check", "--select", "TID251,S102,S307"]
    given = ["--stdin-filename", str(ROOT / "llm_router" / "new.py"), "-"]
    ended = subprocess.run([*ruff, *given], input=code, text=True, capture_output=True, check=False)
    assert ended.returncode == 1, ended.stderr
    assert re.search("TID251|S102|S307", ended.stdout)


def test_no_file_but_ours_runs_code_in_every_python_of_the_environment() -> None:
    import site  # noqa: PLC0415  of this test alone

    known = re.compile(
        r"_patchbay_\w+|__editable__.*|distutils-precedence|_?virtualenv|_pytest_\w+|a1_coverage"
    )
    found = [file.stem for folder in site.getsitepackages() for file in Path(folder).glob("*.pth")]
    assert found
    assert not [name for name in found if not known.fullmatch(name)]
