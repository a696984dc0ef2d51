"""Tests that no record can be stored that a list cannot show, and that one that is stored all the
same hides no other.
"""

from typing import Any

import pytest
from sqlalchemy import insert, update

from llm_router.clock import utc_now
from llm_router.connections.access import SYSTEM
from llm_router.store.tables import audit_log, connections
from tests.contracts.gateway import PUBLIC, Gateway, problem


def nested(levels: int, inner: Any = 1) -> dict[str, Any]:
    for _ in range(levels):
        inner = {"a": inner}
    body: dict[str, Any] = inner
    return body


def listed(levels: int) -> dict[str, Any]:
    inner: Any = 1
    for _ in range(levels):
        inner = [inner]
    return {"a": inner}


POISON = {
    "21 objects": nested(21),
    "254 objects": nested(254),
    "254 arrays": listed(253),
    "many values": {"a": list(range(3_000))},
    "many names": {f"n{i}": 1 for i in range(3_000)},
    "many values deep down": nested(10, {"a": [[i] for i in range(1_500)]}),
    "a long text": {"a": "x" * 100_001},
}


@pytest.mark.parametrize("name", POISON)
async def test_a_body_that_lists_could_not_show_is_refused(gateway: Gateway, name: str) -> None:
    new = {"name": "a", "base_url": PUBLIC, "extra_body": POISON[name]}
    created = problem(await gateway.call("editor", "POST", "/connections", new), 422)
    assert "extra_body" in created["detail"]
    made = await gateway.connection()
    change = {"extra_body": POISON[name]}
    problem(await gateway.call("editor", "PATCH", f"/connections/{made['id']}", change), 422)
    problem(await gateway.call("editor", "POST", "/connections/import", [new]), 422)
    problem(await gateway.call("editor", "POST", "/connections/apply", [new]), 422)


@pytest.mark.parametrize("depth", [300, 2_000, 100_000])
@pytest.mark.parametrize("opening", ['{"a":', "["])
async def test_a_body_nested_beyond_reason_is_a_clients_fault(
    gateway: Gateway, depth: int, opening: str
) -> None:
    headers = {
        "Authorization": f"Bearer {gateway.keys['admin']}",
        "Content-Type": "application/json",
    }
    for path in ("connections", "connections/import", "webhooks", "keys"):
        text = '{"name": "a", "extra_body": ' + opening * depth
        answer = await gateway.client.post(f"/api/{path}", content=text, headers=headers)
        assert 400 <= answer.status_code < 500, (path, answer.text)


async def test_an_honest_body_is_stored_and_shown(gateway: Gateway) -> None:
    body = nested(15, {"enable_thinking": False, "list": [1, 2, {"b": None}]})
    made = await gateway.connection(extra_body=body)
    shown = (await gateway.call("editor", "GET", "/connections")).json()
    assert [item["extra_body"] for item in shown["items"]] == [made["extra_body"]] == [body]


async def test_a_row_that_cannot_be_read_hides_no_other_and_can_be_removed(
    gateway: Gateway,
) -> None:
    await gateway.connection(name="fine")
    bad = await gateway.connection(name="bad")
    async with gateway.services.database.writing() as db:
        poisoned = update(connections).where(connections.c.id == bad["id"])
        await db.execute(poisoned.values(extra_body=nested(254)))
        await db.execute(insert(audit_log), [poisoned_entry(bad["id"])])
    page = (await gateway.call("admin", "GET", "/connections")).json()
    assert [item["name"] for item in page["items"]] == ["fine"]
    assert "extra_body" in page["unreadable"][bad["id"]]
    problem(await gateway.call("admin", "GET", f"/connections/{bad['id']}"), 422)
    entries = (await gateway.call("admin", "GET", "/audit")).json()["items"]
    assert len(entries) > 2
    assert "unreadable" in entries[0]["after"]
    names = [
        e["after"]["name"] for e in entries if e["kind"] == "connection" and "name" in e["after"]
    ]
    assert names == ["bad", "fine"]
    refused = await gateway.call("stranger", "DELETE", f"/connections/{bad['id']}")
    assert refused.status_code == 404
    assert (await gateway.call("editor", "DELETE", f"/connections/{bad['id']}")).is_success
    assert not (await gateway.call("admin", "GET", "/connections")).json()["unreadable"]


def poisoned_entry(target: str) -> dict[str, Any]:
    entry = SYSTEM.audit_entry("edit", ("connection", target), utc_now())
    row = {name: getattr(entry, name) for name in entry.__slots__}
    return {**row, "before": {}, "after": {"extra_body": nested(300)}}
