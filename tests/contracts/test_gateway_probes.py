"""Tests probes of connections, against servers on real sockets that work or fail."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import update

from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection
from llm_router.errors import AddressRefusedError
from llm_router.failures import FailureClass
from llm_router.management.probe import list_models, probe
from llm_router.net.guard import AddressGuard
from llm_router.store.tables import connections
from llm_router.testing.server import Fault, FaultyServer, Script
from tests.contracts.databases import Files
from tests.contracts.gateway import Gateway, gateway_on, problem

KEY = "sk-0123456789-wxyz"
WORDS = "".join(Script().words)
STREAM = {"Accept": "application/x-ndjson"}


@pytest.fixture
async def open_gateway(files: Files) -> AsyncIterator[Gateway]:
    """Opens an API in which every actor may have this machine called."""
    async with gateway_on(await files.new(), allowed_addresses=("127.0.0.0/8",)) as gateway:
        yield gateway


def connection(base_url: str, **fields: Any) -> Connection:
    return Connection(name="desk", base_url=base_url, model_name="m", api_key=KEY, **fields)


async def test_a_working_server_shows_its_words_times_and_models(
    open_gateway: Gateway,
) -> None:
    async with FaultyServer() as server:
        made = await open_gateway.connection(base_url=server.base_url, api_key=KEY)
        path = f"/connections/{made['id']}"
        answer = await open_gateway.call(
            "editor", "POST", f"{path}/test", {"prompt": "Hi?", "max_tokens": 9}
        )
        asked = await server.received()
    said = answer.json()
    assert (said["ok"], said["text"], said["models"]) == (True, WORDS, [server.model])
    assert 0 < said["first_word"] <= said["latency"]
    assert said["failure"] is None
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.messages[-1]["content"] == "Hi?"
    assert asked.body["max_tokens"] == 9
    after = (await open_gateway.call("editor", "GET", path)).json()
    assert (after["status"], after["status_reason"]) == ("active", "")
    assert after["version"] == made["version"]


async def test_a_connection_is_tested_before_it_is_stored(open_gateway: Gateway) -> None:
    async with FaultyServer() as server:
        new = {"name": "desk", "base_url": server.base_url, "model_name": "m", "api_key": KEY}
        answer = await open_gateway.call("editor", "POST", "/connections/test", new)
        asked = await server.received()
    assert (answer.json()["ok"], answer.json()["text"]) == (True, WORDS)
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert (await open_gateway.call("editor", "GET", "/connections")).json()["total"] == 0


async def test_an_address_that_must_not_be_called_is_not_tested_either(gateway: Gateway) -> None:
    new = {"name": "desk", "base_url": "http://127.0.0.1:9/v1", "model_name": "m"}
    refused = problem(await gateway.call("editor", "POST", "/connections/test", new), 403)
    assert refused["type"] == "/problems/address-refused"


@pytest.mark.parametrize(
    ("script", "kind", "said", "status"),
    [
        (Script(fault=Fault.STATUS, status=401), "rejected key", "check api_key", "error"),
        (Script(fault=Fault.STATUS, status=429), "rate limited", "", "resting"),
        (Script(fault=Fault.RESET_BEFORE_WORD), "broken stream", "", "error"),
        (Script(fault=Fault.REFUSE), "unreachable", "is the server running", "error"),
        (Script(fault=Fault.GARBAGE_LINE), "broken stream", "", "error"),
        (Script(fault=Fault.EMPTY), "empty", "", "error"),
    ],
)
async def test_a_failing_server_is_a_failure_with_advice(
    open_gateway: Gateway, script: Script, kind: str, said: str, status: str
) -> None:
    async with FaultyServer(script) as server:
        made = await open_gateway.connection(base_url=server.base_url, api_key=KEY)
        path = f"/connections/{made['id']}"
        answer = await open_gateway.call("editor", "POST", f"{path}/test")
    assert answer.status_code == 200
    assert answer.json()["ok"] is False
    assert answer.json()["failure"]["kind"] == kind
    assert said in answer.json()["failure"]["advice"]
    assert KEY not in answer.text
    after = (await open_gateway.call("editor", "GET", path)).json()
    assert after["status"] == status
    assert after["status_reason"].startswith(kind)
    (check,) = (await open_gateway.call("editor", "GET", f"{path}/health")).json()["items"]
    assert (check["kind"], check["outcome"]) == ("test", kind)
    assert check["detail"] == after["status_reason"]


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        (Fault.HANG_BEFORE_HEADERS, FailureClass.SILENT, ""),
        (Fault.STALL_AFTER, FailureClass.STALLED, "Hello there,"),
    ],
)
async def test_a_server_that_hangs_is_given_up_and_disconnected(
    fault: Fault, kind: FailureClass, text: str
) -> None:
    async with FaultyServer(Script(fault=fault)) as server:
        result = await probe(connection(server.base_url, timeout=0.2), "Hi?")
        assert await server.disconnected() is not None
    assert result.failure
    assert (result.failure.kind, result.text) == (kind, text)


async def test_an_endless_answer_is_read_up_to_a_limit() -> None:
    endless = Script(words=["word "] * 20_000)
    async with FaultyServer(endless) as server:
        result = await probe(connection(server.base_url), "Hi?")
        assert await server.disconnected() is not None
    assert result.failure is None
    assert 10_000 <= len(result.text) < 20_000


async def test_the_models_of_a_server_are_listed_or_the_failure_is(
    open_gateway: Gateway, unused_url: str
) -> None:
    async with FaultyServer() as server:
        made = await open_gateway.connection(base_url=server.base_url)
        listed = await open_gateway.call("operator", "GET", f"/connections/{made['id']}/models")
        problem(listed, 404)  # another's own
        listed = await open_gateway.call("editor", "GET", f"/connections/{made['id']}/models")
    assert listed.json() == {"models": [server.model], "failure": None}
    down = await open_gateway.connection(name="down", base_url=unused_url)
    listed = await open_gateway.call("editor", "GET", f"/connections/{down['id']}/models")
    assert listed.status_code == 200
    assert listed.json()["models"] == []
    assert listed.json()["failure"]["kind"] == "unreachable"


async def test_a_test_of_an_inactive_connection_leaves_its_status(gateway: Gateway) -> None:
    made = await gateway.connection(provider="offline", base_url="", is_active=False)
    path = f"/connections/{made['id']}"
    assert (await gateway.call("editor", "POST", f"{path}/test")).json()["ok"] is True
    assert (await gateway.call("editor", "GET", path)).json()["status"] == "untested"


@pytest.mark.parametrize("body", [{"prompt": ""}, {"max_tokens": 0}, {"max_tokens": 10**9}])
async def test_a_question_without_bounds_is_refused(gateway: Gateway, body: dict[str, Any]) -> None:
    made = await gateway.connection()
    problem(await gateway.call("editor", "POST", f"/connections/{made['id']}/test", body), 422)


async def test_a_key_that_was_tampered_with_is_a_problem_until_it_is_entered_again(
    gateway: Gateway,
) -> None:
    made = await gateway.connection(provider="offline", base_url="", api_key=KEY)
    path = f"/connections/{made['id']}"
    async with gateway.services.database.writing() as db:
        await db.execute(update(connections).values(api_key_sealed="gAAAA"))
    broken = problem(await gateway.call("editor", "POST", f"{path}/test"), 500)
    assert "enter the value again" in broken["detail"]
    await gateway.call("editor", "POST", f"{path}/rotate-key", {"api_key": KEY})
    assert (await gateway.call("editor", "POST", f"{path}/test")).json()["ok"] is True


# ── A test as a stream ───────────────────────────────────────────────────────────────────────────


async def test_the_words_of_a_test_are_streamed_and_the_result_comes_at_the_end(
    open_gateway: Gateway,
) -> None:
    async with FaultyServer() as server:
        made = await open_gateway.connection(base_url=server.base_url)
        path = f"/connections/{made['id']}/test"
        answer = await open_gateway.call("editor", "POST", path, {}, headers=STREAM)
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    *said, last = map(json.loads, answer.text.splitlines())
    assert len(said) > 3
    assert "".join(line["text"] for line in said) == WORDS
    assert (last["result"]["ok"], last["result"]["text"]) == (True, WORDS)
    after = (await open_gateway.call("editor", "GET", f"/connections/{made['id']}")).json()
    assert after["status"] == "active"


async def test_a_test_that_is_refused_is_a_problem_in_a_stream_too(open_gateway: Gateway) -> None:
    made = await open_gateway.connection(base_url="http://93.184.215.14/v1")
    await open_gateway.store.change(SYSTEM, made["id"], {"base_url": "http://10.0.0.1/v1"})
    path = f"/connections/{made['id']}/test"
    problem(await open_gateway.call("editor", "POST", path, {}, headers=STREAM), 403)


# ── Addresses ────────────────────────────────────────────────────────────────────────────


async def test_an_actor_who_may_not_call_an_address_cannot_test_it(gateway: Gateway) -> None:
    async with FaultyServer() as server:
        inside = connection(server.base_url, owner="editor")
        (stored,) = await gateway.store.add(SYSTEM, [inside])
        for method, what in (("POST", "test"), ("GET", "models")):
            path = f"/connections/{stored.id}/{what}"
            refused = problem(await gateway.call("editor", method, path), 403)
            assert "an administrator can allow it" in refused["detail"]
            assert (await gateway.call("admin", method, path)).status_code == 200
        assert len(server.requests) == 1
    assert (await gateway.store.get(SYSTEM, stored.id)).status == "active"  # by the admin's test


async def test_an_address_that_the_guard_refuses_is_not_dialled() -> None:
    async with FaultyServer() as server:
        inside = connection(server.base_url)
        with pytest.raises(AddressRefusedError):
            await probe(inside, "Hi?", guard=AddressGuard())
        with pytest.raises(AddressRefusedError):
            await list_models(inside, guard=AddressGuard())
        assert server.connections == 0


async def test_a_plugin_that_dials_by_itself_is_for_admins(gateway: Gateway) -> None:
    fields = {"provider": "livekit_plugin", "server": "openai", "api_key": KEY}
    made = await gateway.connection(**fields)
    path = f"/connections/{made['id']}/test"
    refused = problem(await gateway.call("editor", "POST", path), 403)
    assert "connects by itself" in refused["detail"]
