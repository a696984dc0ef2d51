"""Shares the management API among its tests: the application, and an API key of each role."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, get_args

import httpx2
import pytest
from fastapi import FastAPI

from llm_router.connections.access import SYSTEM, Role
from llm_router.connections.store import ConnectionStore
from llm_router.gateway.app import AT_ROOT, build_app
from llm_router.gateway.deps import Services
from llm_router.gateway.errors import ANTHROPIC_PATH
from llm_router.store.api_keys import ApiKeys
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.webhooks import Webhooks
from llm_router.testing import InMemoryConnectionStore
from llm_router.testing.server import FaultyServer, Script
from tests.contracts.databases import Files, opened
from tests.contracts.stores import VAULT

HOST = "http://patchbay.test"
PUBLIC = "http://93.184.215.14/v1"
"""An address of the public internet; nothing in these tests calls it."""
CLOSED = "http://127.0.0.1:9/hook"
"""An address at which no server listens."""
ROLES: tuple[Role, ...] = get_args(Role)
STRANGER = "stranger"
TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Content Too Large",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}
"""The phrases of RFC 9110."""


@dataclass
class Gateway:
    """The API on a database of its own. Every actor named in `keys` is of the team `red`."""

    app: FastAPI
    services: Services
    client: httpx2.AsyncClient
    keys: dict[str, str]

    @property
    def store(self) -> ConnectionStore:
        return self.services.store

    async def call(
        self, who: str, method: str, path: str, json: Any = None, **more: Any
    ) -> httpx2.Response:
        headers = dict(more.pop("headers", {}))
        if who in self.keys:
            headers["Authorization"] = f"Bearer {self.keys[who]}"
        url = path if path.startswith(AT_ROOT) else f"/api{path}"
        return await self.client.request(method, url, json=json, headers=headers, **more)

    async def add_actor(self, name: str, role: Role, team: str = "red") -> None:
        """Creates an API key of that name, with which the actor of that name asks from now on."""
        owner = "" if role in {"admin", "worker"} else name
        _, self.keys[name] = await self.services.keys.add(
            SYSTEM, name, role, owner=owner, team=team, may_serve_calls=name == "editor"
        )

    async def connection(self, who: str = "editor", **fields: Any) -> dict[str, Any]:
        body = {"name": "desk", "base_url": PUBLIC, "model_name": "m", **fields}
        answer = await self.call(who, "POST", "/connections", body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made


@asynccontextmanager
async def gateway_on(
    url: str, store: ConnectionStore | None = None, **options: Any
) -> AsyncIterator[Gateway]:
    """Opens the API. `store` replaces the one in the database; `options` are those of Services."""
    async with opened(url) as database:
        services = Services(
            database=database,
            store=store or SqlConnectionStore(database, VAULT),
            keys=ApiKeys(database),
            identify_within=0.0,  # most addresses here lead nowhere
            webhooks=Webhooks(database, VAULT),
            vault=VAULT,
            longest_stream=0.0,  # the client here gets each answer as a whole
        )
        services = replace(services, **options)
        app = build_app(services)
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url=HOST) as client,
        ):
            gateway = Gateway(app, services, client, {})
            for role in ROLES:
                await gateway.add_actor(role, role)
            await gateway.add_actor(STRANGER, "editor", team="blue")
            yield gateway


@asynccontextmanager
async def one_server(
    gateway: Gateway, script: Script | None = None, **fields: Any
) -> AsyncIterator[FaultyServer]:
    """Runs a model server behind a connection of the editor's."""
    async with FaultyServer(script or Script()) as server:
        await gateway.connection(base_url=server.base_url, **fields)
        yield server


@pytest.fixture
async def gateway(files: Files) -> AsyncIterator[Gateway]:
    async with gateway_on(await files.new()) as gateway:
        yield gateway


@pytest.fixture(params=["memory", "sqlite"])
async def each_gateway(request: pytest.FixtureRequest, files: Files) -> AsyncIterator[Gateway]:
    """Runs the test with each kind of store in turn."""
    store = InMemoryConnectionStore() if request.param == "memory" else None
    async with gateway_on(await files.new(), store) as gateway:
        yield gateway


def openai_error(answer: httpx2.Response, status: int) -> Mapping[str, Any]:
    """Checks that `answer` is OpenAI's error object, as below /v1; returns what it says."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error: Mapping[str, Any] = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"]
    return error


def anthropic_error(answer: httpx2.Response, status: int) -> Mapping[str, Any]:
    """Checks that `answer` is Anthropic's error object; returns what it says."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body.keys() == {"type", "error", "request_id"}
    assert body["type"] == "error"
    error: Mapping[str, Any] = body["error"]
    assert error.keys() == {"type", "message"}
    assert error["message"]
    return error


def chat_error(answer: httpx2.Response, status: int) -> Mapping[str, Any]:
    """Checks that `answer` is an error in the form of its path below /v1; returns what it says."""
    is_anthropics = answer.request.url.path.startswith(ANTHROPIC_PATH)
    return (anthropic_error if is_anthropics else openai_error)(answer, status)


def problem(answer: httpx2.Response, status: int, kind: str | None = None) -> Mapping[str, Any]:
    """Checks that `answer` is a problem document, of this `kind` if one is named; returns it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: Mapping[str, Any] = answer.json()
    assert document["status"] == status
    assert document["title"] == TITLES[status]
    assert document["detail"]
    assert document["type"].startswith("/problems/") or document["type"] == "about:blank"
    if kind:
        assert document["type"] == f"/problems/{kind}"
    return document
