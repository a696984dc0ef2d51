"""Tests `python -m agent.api` as a person and a supervisor use it: a process on a real socket."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from agent.http_process import listen
from llm_router.clock import utc_now
from llm_router.settings.loading import SettingsError
from llm_router.store.database import Database
from llm_router.store.migrations import migrate
from llm_router.store.summaries import summed_up_to
from llm_router.store.usage import UsageLog, UsageRecord
from tests.contracts.api_process import (
    KEYS,
    SECRET,
    STATE,
    address,
    admin_key,
    isolated_environ,
    process,
    serving,
)
from tests.contracts.databases import opened
from tests.contracts.receiver import receiving


def test_a_taken_port_is_named_with_the_variable_to_change() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port} is taken.*HTTP_PORT"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_named_with_the_variable_to_change(host: str) -> None:
    with pytest.raises(SettingsError, match=f"{host}.*HTTP_HOST"):
        listen(host, 0)


async def test_help_names_what_it_serves_and_where_settings_are_explained(tmp_path: Path) -> None:
    async with process(tmp_path, "--help") as running:
        out, _ = await running.communicate()
    assert running.returncode == 0
    assert b"/readyz" in out
    assert b".env.example" in out


def test_the_process_loads_nothing_that_only_calls_need() -> None:
    # These cost seconds and 100 MB, and the client of OpenAI takes its key from the environment.
    asked = "import sys, agent.api; print({'livekit.agents', 'openai'} & {*sys.modules})"
    answer = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True)
    assert answer.stdout.decode().strip() == "set()"


async def test_wrong_settings_end_the_process_with_one_readable_line(tmp_path: Path) -> None:
    async with process(tmp_path, **KEYS, HTTP_PORT="x") as running:
        _, err = await running.communicate()
    assert running.returncode == 2
    assert err.decode().splitlines() == [
        "HTTP_PORT=x should be a valid integer, unable to parse string as an integer"
    ]


@pytest.mark.parametrize(
    ("module", "log_format"), [("agent.api", "auto"), ("agent.gateway", "text")]
)
async def test_the_lines_of_the_log_are_objects_unless_they_shall_be_text(
    tmp_path: Path, module: str, log_format: str
) -> None:
    variables = {**isolated_environ(tmp_path), "LOG_FORMAT": log_format}
    async with serving(tmp_path, module=module, **variables) as here:
        lines = [line.strip() for line in here.log]
    if log_format == "text":
        assert f"INFO {module} serving {here.url}" in lines
    else:
        records = [json.loads(line) for line in lines]
        assert f"serving {here.url}" in [record["message"] for record in records]


async def test_an_invalid_connections_file_ends_the_process_and_is_named(
    tmp_path: Path,
) -> None:
    (tmp_path / "mine.json").write_text("[")
    async with process(tmp_path, **KEYS, HTTP_PORT="0", CONNECTIONS_FILE="mine.json") as running:
        _, err = await running.communicate()
    assert running.returncode == 2
    assert err.decode().startswith("mine.json")
    assert len(err.decode().splitlines()) == 1


@pytest.mark.parametrize(("trusted", "statuses"), [("", [503, 429]), ("127.0.0.1", [503, 503])])
async def test_only_a_trusted_proxy_may_name_the_client(
    tmp_path: Path, trusted: str, statuses: list[int]
) -> None:
    variables = {**KEYS, **isolated_environ(tmp_path), "TOKEN_RATE_LIMIT": "1/hour"}
    async with process(tmp_path, **variables, TRUSTED_PROXIES=trusted) as running:
        async with httpx2.AsyncClient(base_url=await address(running)) as client:
            answers = [
                await client.post("/token", headers={"x-forwarded-for": visitor})
                for visitor in ("192.0.2.1", "192.0.2.2")
            ]
        running.send_signal(signal.SIGTERM)
        await running.communicate()
    assert [answer.status_code for answer in answers] == statuses


async def test_the_first_start_makes_an_admin_key_and_logs_only_its_place(
    tmp_path: Path,
) -> None:
    async with process(tmp_path, **KEYS, **isolated_environ(tmp_path)) as running:
        base = await address(running)
        key = admin_key(tmp_path)
        async with httpx2.AsyncClient(base_url=base) as client:
            closed = await client.get("/api/connections")
            headers = {"Authorization": f"Bearer {key}"}
            me = (await client.get("/api/me", headers=headers)).json()
            row = {"name": "a", "provider": "offline", "api_key": "sk-0123456789ab"}
            made = await client.post("/api/connections", json=row, headers=headers)
        running.send_signal(signal.SIGTERM)
        _, err = await running.communicate()
    assert closed.status_code == 401
    assert me["role"] == "admin"
    assert made.status_code == 201
    assert key not in err.decode()

    # The next start finds all of it and makes no second key.
    async with process(tmp_path, **KEYS, **isolated_environ(tmp_path)) as running:
        async with httpx2.AsyncClient(base_url=await address(running)) as client:
            again = (await client.get("/api/connections", headers=headers)).json()
        running.send_signal(signal.SIGTERM)
        _, err = await running.communicate()
    assert [item["name"] for item in again["items"]] == ["a"]
    assert "made a" not in err.decode()


async def test_a_lost_master_key_ends_the_process_instead_of_making_another(
    tmp_path: Path,
) -> None:
    variables = {**KEYS, **isolated_environ(tmp_path)}
    state = tmp_path / STATE
    async with process(tmp_path, **variables) as running:
        base = await address(running)
        headers = {"Authorization": f"Bearer {admin_key(tmp_path)}"}
        async with httpx2.AsyncClient(base_url=base) as client:
            row = {"name": "a", "provider": "offline", "api_key": "sk-0123456789ab"}
            await client.post("/api/connections", json=row, headers=headers)
    (state / "master.key").rename(state / "elsewhere")
    async with process(tmp_path, **variables) as running:
        _, err = await running.communicate()
    assert running.returncode == 2
    assert "put the file back" in err.decode().splitlines()[-1]


async def test_a_database_that_cannot_be_opened_ends_the_process_with_what_to_do(
    tmp_path: Path,
) -> None:
    (tmp_path / "none.sqlite3").write_text("no database at all, but a text of some length" * 9)
    variables = {**KEYS, **isolated_environ(tmp_path), "DATABASE_URL": "sqlite:///none.sqlite3"}
    async with process(tmp_path, **variables) as running:
        _, err = await running.communicate()
    assert running.returncode == 2
    assert "not a database; name another file" in err.decode().splitlines()[-1]


async def test_the_demo_stores_what_it_found_at_its_first_start_only(tmp_path: Path) -> None:
    variables = {**KEYS, **isolated_environ(tmp_path), "DEMO": "true"}
    answers = []
    for _ in range(2):
        async with process(tmp_path, **variables) as running:
            async with httpx2.AsyncClient(base_url=await address(running)) as client:
                answers.append((await client.get("/api/demo")).json())
            running.send_signal(signal.SIGTERM)
            await running.communicate()
    assert [answer["stored_now"] for answer in answers] == [1, 0]
    for answer in answers:
        listed = [(c["name"], c["source"]) for c in answer["connections"]]
        assert listed == [("desk", "stored")]


async def test_usage_is_summed_up_while_the_process_serves(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/used.sqlite3"
    when = utc_now()
    attempt = UsageRecord(
        at=when, connection_id="", connection_name="a", reply_id="1", role="first", outcome="won",
        duration=1.0,
    )  # fmt: skip
    async with opened(url) as database:
        await migrate(database)
        await UsageLog(database).append([attempt])
        variables = {**KEYS, **isolated_environ(tmp_path), "DATABASE_URL": url}
        async with process(tmp_path, **variables) as running:
            await address(running)
            async with asyncio.timeout(60):
                while not await mark(database):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)  # the process sends no notice of it
            running.send_signal(signal.SIGTERM)
            await running.communicate()
    assert running.returncode == 0


async def mark(database: Database) -> int:
    async with database.reading() as db:
        return await summed_up_to(db)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
async def test_the_process_serves_until_a_signal_stops_it(
    tmp_path: Path, stop: signal.Signals
) -> None:
    shown = {"SHOW_CONNECTIONS": "true"}
    async with process(tmp_path, **KEYS, **isolated_environ(tmp_path), **shown) as running:
        base = await address(running)
        async with httpx2.AsyncClient(base_url=base) as client:
            paths = ("/healthz", "/readyz", "/api/demo", "/")
            statuses = {path: (await client.get(path)).status_code for path in paths}
            demo = (await client.get("/api/demo")).json()
        running.send_signal(stop)
        _, err = await running.communicate()
    assert statuses == {"/healthz": 200, "/readyz": 503, "/api/demo": 200, "/": 503}
    assert [connection["name"] for connection in demo["connections"]] == ["desk"]
    assert running.returncode == 0
    assert SECRET not in err.decode()
    assert "Traceback" not in err.decode()
    with pytest.raises(OSError, match="refused"), socket.socket() as probe:
        probe.connect(("127.0.0.1", int(base.rsplit(":", 1)[1])))


async def test_the_process_checks_connections_and_calls_webhooks(tmp_path: Path) -> None:
    async with (
        process(tmp_path, **KEYS, **isolated_environ(tmp_path)) as running,
        receiving() as receiver,
    ):
        base = await address(running)
        key = (tmp_path / ".local/state/patchbay/admin.key").read_text().strip()
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx2.AsyncClient(base_url=f"{base}/api", headers=headers) as client:
            events = ["connection.status_changed"]
            hook = {"name": "pager", "url": receiver.url, "events": events}
            assert (await client.post("/webhooks", json=hook)).status_code == 201
            row = {"name": "a", "provider": "offline"}
            made = (await client.post("/connections", json=row)).json()
            while not receiver.requests:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            health = (await client.get(f"/connections/{made['id']}/health")).json()
        running.send_signal(signal.SIGTERM)
        _, err = await running.communicate()
    assert running.returncode == 0
    assert (health["status"], health["items"][0]["outcome"]) == ("active", "ok")
    assert receiver.requests[0].json()["data"]["connection_id"] == made["id"]
    assert "Traceback" not in err.decode()
