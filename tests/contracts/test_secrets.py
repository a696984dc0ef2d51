"""Sends a key through every door, has it used and refused, and then searches for it everywhere.

A new door is a function in `DOORS`.
"""

import asyncio
import json
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from aiohttp import web
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest

from agent.http_process import listen
from llm_router import open_router
from llm_router.clock import SystemClock
from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection
from llm_router.connections.store import Query
from llm_router.errors import ReplyFailedError
from llm_router.gateway.schemas.connections import (
    ConnectionCreate,
    ConnectionKeyUpdate,
    ConnectionUpdate,
)
from llm_router.gateway.schemas.presets import PresetApply
from llm_router.gateway.schemas.session import SessionCreate
from llm_router.routing.events import Observer
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.crypto import load_vault
from llm_router.store.tables import metadata
from llm_router.telemetry.opentelemetry import OpenTelemetryObserver
from llm_router.telemetry.prometheus import PrometheusObserver
from llm_router.types import ChatRequest
from tests.contracts import searched_api
from tests.contracts.api_process import STATE, Serving, admin_key, isolated_environ, serving
from tests.contracts.cli_process import ran
from tests.contracts.databases import Server, opened
from tests.contracts.observed import Recorder


def new_key() -> str:
    return f"hush-{uuid4().hex}"


@dataclass
class Person:
    """A client of the API that records all answers."""

    client: httpx2.AsyncClient
    box: str
    """The address of a server that connections may use."""
    folder: Path
    """The folder in which commands run."""
    said: list[str] = field(default_factory=list)

    async def ask(self, status: int, method: str, path: str, **body: Any) -> Any:
        answer = await self.client.request(method, f"/api{path}", **body)
        self.said.append(f"{answer.headers}\n{answer.text}")
        assert answer.status_code == status, answer.text
        return answer.json() if "json" in answer.headers.get("content-type", "") else None

    async def add(self, **fields: Any) -> str:
        row = {"name": uuid4().hex, "base_url": self.box, "model_name": "m", **fields}
        return str((await self.ask(201, "POST", "/connections", json=row))["id"])

    async def take_in(self, content: str, format_: str = "connections") -> None:
        params = {"format": format_}
        await self.ask(201, "POST", "/connections/import", content=content, params=params)


# ── Doors ────────────────────────────────────────────────────────────────────────────────────────

Door = Callable[[Person, str], Awaitable[Any]]


async def _added(person: Person, key: str) -> None:
    await person.add(api_key=key)


async def _in_a_header(person: Person, key: str) -> None:
    await person.add(headers={"X-Key": key})


async def _changed(person: Person, key: str) -> None:
    id_ = await person.add(api_key=new_key())
    await person.ask(200, "PATCH", f"/connections/{id_}", json={"api_key": key})


async def _rotated(person: Person, key: str) -> None:
    id_ = await person.add()
    await person.ask(200, "POST", f"/connections/{id_}/rotate-key", json={"api_key": key})


async def _imported(person: Person, key: str) -> None:
    row = {"id": "imported", "base_url": person.box, "model": "m", "api_key": key}
    await person.take_in(json.dumps({"connections": [row]}))


async def _compatible(person: Person, key: str) -> None:
    models = [{"apiName": "m1"}, {"apiName": "m2"}]
    row = {"provider": "box", "baseUrl": person.box, "apiKey": key, "models": models}
    await person.take_in(json.dumps([row]), "openai_compatible")


async def _env_lines(person: Person, key: str) -> None:
    lines = f"OPENAI_BASE_URL={person.box}\nOPENAI_API_KEY={key}\nDEFAULT_MODEL=m\n"
    await person.take_in(lines, "env")
    # It is called after its server, as is one of the preset's.
    (found,) = (await person.ask(200, "GET", "/connections", params={"name": "openai"}))["items"]
    await person.ask(200, "PATCH", f"/connections/{found['id']}", json={"name": "from lines"})


async def _preset(person: Person, key: str) -> None:
    keys = {"keys": dict.fromkeys(("anthropic", "groq"), key)}  # OpenAI's is in the environment
    await person.ask(201, "POST", "/presets/production/apply", json=keys)


async def _named_in_a_file(person: Person, _: str) -> None:
    row = {"id": "named", "base_url": person.box, "model": "m", "api_key": "env:MY_KEY"}
    await person.take_in(json.dumps(row))


async def _typed(person: Person, key: str) -> None:
    code, *said = await ran(
        person.folder,
        *("connections", "add", "typed", "--base-url", person.box, "--model", "m", "--key", "-"),
        typed=f"{key}\n",
        PATCHBAY_API_URL=str(person.client.base_url),
        PATCHBAY_API_KEY=person.client.headers["Authorization"].removeprefix("Bearer "),
        LOG_LEVEL="DEBUG",
    )
    assert code == 1, said  # it is added, and its test fails: the server refuses every key
    person.said += said


async def _by_start(_: Person, __: str) -> None:
    """The key is there when the process starts."""


DOORS: dict[str, Door] = {
    "added": _added,
    "header": _in_a_header,
    "changed": _changed,
    "rotated": _rotated,
    "imported": _imported,
    "compatible data": _compatible,
    "env file": _env_lines,
    "preset": _preset,
    "command": _typed,
    "OPENAI_API_KEY": _by_start,
    "MY_KEY": _named_in_a_file,
    "connections file": _by_start,
}
IN_THE_ENVIRONMENT = ("OPENAI_API_KEY", "MY_KEY")
NOT_STORED = {"connections file"}
NO_SECRET = {
    "answers": "imported",
    "log": "serving http://",
    "tables": "imported",
    "files": "The master key",
}
"""A text, which is no secret, that each place must hold."""


async def used(person: Person) -> None:
    """Has each connection asked; its server repeats what it was sent."""
    for row in (await person.ask(200, "GET", "/connections", params={"limit": 200}))["items"]:
        if row["base_url"] == person.box:
            path = f"/connections/{row['id']}"
            tried = await person.ask(200, "POST", f"{path}/test")
            assert tried["failure"]["kind"] == "rejected key"
            await person.ask(200, "GET", f"{path}/models")
            await person.ask(502, "POST", f"{path}/generate", json={"prompt": "Hi?"})


async def refused(person: Person, key: str) -> None:
    """Sends requests that hold a key and are refused."""
    taken = await person.add(name="taken")
    path, stale = f"/connections/{taken}", {"api_key": key, "version": 77}
    row = {"name": "taken", "base_url": person.box, "api_key": key}
    for status, wrong in (
        (409, row),
        (422, {**row, "api_key": [key]}),
        (422, {**row, "headers": {"a": {"b": key}}}),
        (422, {**row, "timeout": key}),
        (422, {**row, "api_key": f"{key}\n{key}"}),
        (422, {**row, "base_url": f"http://me:{key}@example.com/v1"}),
        (422, {**row, "base_url": f"http://example.com/v1?key={key}"}),
    ):
        await person.ask(status, "POST", "/connections", json=wrong)
    await person.ask(422, "POST", "/connections", content=f'{{"api_key": "{key}", ')
    await person.ask(409, "PATCH", path, json=stale)
    await person.ask(409, "POST", f"{path}/rotate-key", json=stale)
    await person.ask(422, "GET", "/connections", params={"api_key": key})
    for format_, content in (
        ("connections", json.dumps([{**row, "name": "new", "timeout": "soon"}])),
        ("connections", json.dumps([row])[:-4]),
        ("connections", json.dumps([row, row])),
        ("openai_compatible", json.dumps([{"apikey": key}])),
        ("env", f"OPENAI_API_KEY={key}\nLLM_BACKEND_TYPE=moon"),
    ):
        params = {"format": format_}
        await person.ask(422, "POST", "/connections/import", content=content, params=params)
    await person.ask(422, "POST", "/presets/production/apply", json={"keys": {"moon": key}})
    await person.ask(401, "POST", "/session", json={"api_key": key})


async def read_all(person: Person) -> None:
    """Reads all that there is to read."""
    for path in ("/connections", "/connections/export", "/audit", "/keys", "/me", "/openapi.json"):
        await person.ask(200, "GET", path)


# ── The searches ────────────────────────────────────────────────────────────────────

_MAX_SEARCHES = 30
"""Searches, a second apart: checks and idle routers release their keys sooner."""
_LASTING_HOLDERS = frozenset({"environment", "SecretStr"})
"""The variables of the process and its settings: they hold a key for as long as it runs."""


async def in_memory(process: Serving, known: set[str]) -> set[tuple[str, str]]:
    """Returns each key that stays in the memory of the process, and the type of its holder.

    A check holds its key while it runs, and a router until it was idle for a while. So the search
    is repeated while there are keys other than those `known` to stay, or other holders of them.
    """
    for _ in range(_MAX_SEARCHES):
        found = await _in_memory_now(process)
        if {key for key, _ in found} <= known and {kind for _, kind in found} <= _LASTING_HOLDERS:
            break
        await asyncio.sleep(1)
    return found


async def _in_memory_now(process: Serving) -> set[tuple[str, str]]:
    found = set()
    assert process.running.stdout
    process.running.send_signal(signal.SIGUSR1)
    while (line := (await process.running.stdout.readline()).decode().strip()) != "searched":
        key, kind = line.split()
        found.add((key, kind))
    return found


async def in_tables(url: str) -> str:
    async with opened(url) as database, database.reading() as db:
        rows = [(await db.execute(table.select())).all() for table in metadata.sorted_tables]
    return str(rows)


def in_files(folder: Path) -> str:
    """Returns the text of all files, without the two that are meant to hold a key."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    own = {folder / "mine.json", folder / STATE / "admin.key"}
    return "".join(path.read_bytes().decode("latin-1") for path in files if path not in own)


@asynccontextmanager
async def box() -> AsyncIterator[str]:
    """Runs a server that refuses every key, and repeats what it was sent in every way it can."""

    async def refuse(request: web.Request) -> web.Response:
        sent = " ".join(request.headers.values())
        error = {"message": sent, "code": "invalid_api_key", "type": sent, "param": sent}
        return web.json_response({"error": error}, status=401, headers={"X-Sent": sent})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = listen("127.0.0.1", 0)
    await web.SockSite(runner, listener).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        await runner.cleanup()


@pytest.mark.timeout(300)
async def test_no_key_is_found_anywhere_whichever_way_it_came_in(
    server: Server, tmp_path: Path
) -> None:
    keys, lost = {door: new_key() for door in DOORS}, new_key()
    stay = {keys[name] for name in IN_THE_ENVIRONMENT}
    url = await server.new(migrated=False)
    variables = isolated_environ(tmp_path, api_key=keys["connections file"]) | {
        "DATABASE_URL": url,
        "LOG_LEVEL": "DEBUG",
        "API_RATE_LIMIT": "100000/second",
        "HEALTH_CHECK_INTERVAL": "86400",  # one check of each will do
        **{name: keys[name] for name in IN_THE_ENVIRONMENT},
    }
    module = searched_api.__name__
    async with box() as address, serving(tmp_path, module=module, **variables) as process:
        mine = admin_key(tmp_path)
        headers = {"Authorization": f"Bearer {mine}", "Content-Type": "application/json"}
        async with httpx2.AsyncClient(base_url=process.url, headers=headers) as client:
            person = Person(client, address, tmp_path)
            for door, go_through in DOORS.items():
                await go_through(person, keys[door])
            await used(person)
            await refused(person, lost)
            await read_all(person)
        memory = await in_memory(process, stay)
        await process.kill()
    places = {
        "answers": "\n".join(person.said),
        "log": "".join(process.log),
        "tables": await in_tables(url),
        "files": in_files(tmp_path),
    }
    everything = [*keys.values(), lost, mine]
    assert {place: [k for k in everything if k in found] for place, found in places.items()} == {
        place: [] for place in places
    }
    # The searches work: they find what is no secret.
    assert [place for place, found in places.items() if NO_SECRET[place] not in found] == []
    # A variable of the process stays in its environment and its settings.
    assert {key for key, _ in memory} == stay
    assert {kind for _, kind in memory} <= _LASTING_HOLDERS
    await all_are_stored(
        url, tmp_path, {key for door, key in keys.items() if door not in NOT_STORED}
    )


async def all_are_stored(url: str, folder: Path, keys: set[str]) -> None:
    vault = await asyncio.to_thread(load_vault, (), folder / STATE / "master.key")
    async with opened(url) as database:
        page = await SqlConnectionStore(database, vault).find(
            SYSTEM, Query(limit=None), secrets=True
        )
    stored = {secret for c in page.items for secret in (c.api_key, *c.headers.values())}
    assert keys <= stored


async def test_no_observer_of_a_reply_gets_a_key(
    caplog: pytest.LogCaptureFixture,
) -> None:
    keys = [new_key() for _ in range(2)]
    spans, registry, mailbox = InMemorySpanExporter(), CollectorRegistry(), Recorder()
    tracing = TracerProvider()
    tracing.add_span_processor(SimpleSpanProcessor(spans))
    observers: list[Observer] = [
        OpenTelemetryObserver(tracing.get_tracer("test"), SystemClock()),
        PrometheusObserver(registry),
        mailbox,
    ]
    caplog.set_level(logging.DEBUG, "llm_router")
    async with box() as address:
        one = Connection(name="plain", base_url=address, api_key=keys[0])
        other = Connection(name="by header", base_url=address, headers={"api-key": keys[1]})
        async with open_router([one, other], observers=observers) as router:
            asked = ChatRequest(messages=[{"role": "user", "content": "Open?"}])
            with pytest.raises(ReplyFailedError) as caught:
                async with aclosing(router.stream(asked)) as reply:
                    _ = [chunk async for chunk in reply]
            shown = repr((one, other, router))
    reports = {
        "error": str(caught.value),
        "log": caplog.text,
        "spans": "".join(span.to_json() for span in spans.get_finished_spans()),
        "metrics": generate_latest(registry).decode(),
        "facts": repr((mailbox.attempts, mailbox.replies)),
        "repr": shown,
    }
    assert [place for place, text in reports.items() if any(key in text for key in keys)] == []
    assert [place for place, text in reports.items() if "plain" not in text] == []


def test_a_body_with_a_key_in_it_does_not_show_it() -> None:
    key = new_key()
    secrets = {"api_key": key, "headers": {"X-Key": key}}
    bodies = (
        ConnectionCreate.model_validate({"name": "a", **secrets}),
        ConnectionUpdate.model_validate(secrets),
        ConnectionKeyUpdate.model_validate({"api_key": key}),
        PresetApply.model_validate({"keys": {"openai": key}}),
        SessionCreate.model_validate({"api_key": key}),
    )
    assert key not in repr(bodies)
