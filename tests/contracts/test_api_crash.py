"""Tests that a killed HTTP process has all that it acknowledged when it is started again."""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx2
import pytest

from tests.contracts.api_process import Serving, admin_key, isolated_environ, serving
from tests.contracts.databases import Server

WRITERS, IMPORTERS = 10, 5
IN_A_FILE = 100
KILLED_AFTER = 2000
"""Acknowledged writes, made as fast as they go: about two hundred a second."""


def variables(folder: Path, url: str) -> dict[str, str]:
    unlimited = {"API_RATE_LIMIT": "100000/second", "MAX_CONNECTIONS": "100000"}
    return {**isolated_environ(folder), "DATABASE_URL": url, **unlimited}


def person(process: Serving, folder: Path) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {admin_key(folder)}"}
    return httpx2.AsyncClient(base_url=f"{process.url}/api", headers=headers, timeout=60)


class UnansweredError(Exception):
    """The database did not answer in time, as on a busy machine: the write may be stored or not."""


class Writers:
    """Clients that create, change and import connections without a pause until the process ends."""

    def __init__(self, process: Serving, client: httpx2.AsyncClient) -> None:
        self._process, self._client = process, client
        self.acknowledged: dict[str, int] = {}
        """The last acknowledged priority of each connection."""
        self.writes = 0
        self.unanswered = 0

    async def write(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(WRITERS):
                tasks.create_task(self._until_it_is_gone(self._add_and_change, f"writer {number}"))
            for number in range(IMPORTERS):
                tasks.create_task(self._until_it_is_gone(self._import, f"importer {number}"))

    async def _until_it_is_gone(self, write: Callable[[str], Awaitable[None]], who: str) -> None:
        try:
            for number in itertools.count():
                with contextlib.suppress(UnansweredError):
                    await write(f"{who} {number}")
        except httpx2.TransportError:
            pass

    async def _add_and_change(self, name: str) -> None:
        made = await self._say("POST", "/connections", _row(name))
        for priority in (1, 2, 3):
            await self._say("PATCH", f"/connections/{made[0]['id']}", {"priority": priority})

    async def _import(self, name: str) -> None:
        rows = [_row(f"{name} {place}") for place in range(IN_A_FILE)]
        await self._say("POST", "/connections/import", {"connections": rows})

    async def _say(self, method: str, path: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        answer = await self._client.request(method, path, json=body)
        if answer.status_code == httpx2.codes.SERVICE_UNAVAILABLE:
            self.unanswered += len(body.get("connections", [body]))
            raise UnansweredError
        assert answer.status_code in {200, 201}, f"{answer.text} {self._process.log[-3:]}"
        stored: list[dict[str, Any]] = answer.json().get("items", [answer.json()])
        self.acknowledged |= {one["id"]: one["priority"] for one in stored}
        before, self.writes = self.writes, self.writes + len(stored)
        if before < KILLED_AFTER <= self.writes:
            await self._process.kill()
        return stored


def _row(name: str) -> dict[str, str]:
    return {"name": name, "provider": "offline", "api_key": f"sk-0123456789-{name}"}


async def everything(client: httpx2.AsyncClient) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    while True:
        params: dict[str, str | int] = {
            "limit": 200,
            "offset": len(found),
            "sort": "created_at",
        }
        page = (await client.get("/connections", params=params)).json()
        assert page["unreadable"] == {}
        found |= {item["id"]: item for item in page["items"]}
        if len(found) == page["total"]:
            return found


@pytest.mark.timeout(300)
async def test_an_acknowledged_write_survives_a_kill(server: Server, tmp_path: Path) -> None:
    settings = variables(tmp_path, await server.new())
    async with (
        serving(tmp_path, **settings) as process,
        person(process, tmp_path) as client,
    ):
        writers, began = Writers(process, client), perf_counter()
        await writers.write()
        took = perf_counter() - began
    print(f"{writers.writes / took:.0f} writes a second until it was killed")
    async with (
        serving(tmp_path, **settings) as process,
        person(process, tmp_path) as client,
    ):
        stored = await everything(client)
        assert writers.acknowledged.keys() <= stored.keys()
        lost = {i: p for i, p in writers.acknowledged.items() if stored[i]["priority"] < p}
        assert lost == {}
        # The last writes may be stored and not yet acknowledged.
        open_writes = WRITERS + IMPORTERS * IN_A_FILE + writers.unanswered
        assert len(stored) <= len(writers.acknowledged) + open_writes
        # A file is there as a whole or not at all.
        names = [connection["name"] for connection in stored.values()]
        files = Counter(name.rpartition(" ")[0] for name in names if name.startswith("importer"))
        assert set(files.values()) == {IN_A_FILE}
        one = next(id_ for id_, row in stored.items() if row["name"].startswith("writer"))
        assert (await client.post(f"/connections/{one}/test")).json()["ok"] is True
        audit = (await client.get("/audit", params={"target": one})).json()["items"]
        edits = [entry for entry in audit if entry["action"] == "edit"]
        assert len(edits) == stored[one]["version"] - 1


@pytest.mark.timeout(300)
async def test_processes_may_start_at_the_same_time_on_an_empty_database(
    server: Server, tmp_path: Path
) -> None:
    settings = variables(tmp_path, await server.new(migrated=False))
    async with (
        serving(tmp_path, **settings) as one,
        serving(tmp_path, **settings) as other,
        person(one, tmp_path) as here,
        person(other, tmp_path) as there,
    ):
        row = {"name": "a", "provider": "offline", "api_key": "sk-0123456789ab"}
        made = (await here.post("/connections", json=row)).json()
        assert (await there.post(f"/connections/{made['id']}/test")).json()["ok"] is True
        assert (await there.get("/keys")).json()["total"] == 1
    log = "".join(one.log + other.log)
    assert log.count("made an admin key") == log.count("made a master key") == 1
