"""Tests webhooks and health over HTTP: created, changed, tested, and their logs read."""

from datetime import timedelta
from typing import Any

import pytest

from llm_router.connections.access import SYSTEM
from llm_router.connections.store import Check
from llm_router.options import HealthOptions
from tests.contracts.gateway import CLOSED, Gateway, problem
from tests.contracts.receiver import receiving
from tests.unit.test_webhooks import manuals_verify

EVENTS = ["connection.status_changed", "connection.deactivated"]


async def hook(gateway: Gateway, url: str = CLOSED, **fields: Any) -> dict[str, Any]:
    body = {"name": "pager", "url": url, "events": EVENTS, **fields}
    answer = await gateway.call("admin", "POST", "/webhooks", body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/api/webhooks/{made['id']}"
    return made


async def test_a_webhooks_secret_is_shown_once(gateway: Gateway) -> None:
    made = await hook(gateway)
    assert made.pop("secret").startswith("whsec_")
    path = f"/webhooks/{made['id']}"
    assert (await gateway.call("admin", "GET", path)).json() == made
    assert (await gateway.call("admin", "GET", "/webhooks")).json() == {
        "items": [made], "total": 1, "limit": 50, "offset": 0,
    }  # fmt: skip
    for method, where in (("GET", "/audit"), ("PATCH", path), ("GET", f"{path}/deliveries")):
        answer = await gateway.call("admin", method, where, {} if method == "PATCH" else None)
        assert answer.status_code == 200
        assert "whsec_" not in answer.text


async def test_a_webhook_is_changed_and_removed(gateway: Gateway) -> None:
    path = f"/webhooks/{(await hook(gateway))['id']}"
    changes = {"events": EVENTS[:1], "is_active": False, "version": 1}
    changed = (await gateway.call("admin", "PATCH", path, changes)).json()
    assert (changed["events"], changed["is_active"], changed["version"]) == (EVENTS[:1], False, 2)
    stale = problem(await gateway.call("admin", "PATCH", path, changes), 409)
    assert stale["current_version"] == 2
    assert (await gateway.call("admin", "DELETE", path)).status_code == 204
    for method in ("GET", "DELETE"):
        problem(await gateway.call("admin", method, path), 404)


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"events": []}, 422),
        ({"events": ["connection.gone"]}, 422),
        ({"name": " "}, 422),
        ({"url": "ftp://host/hook"}, 422),
        ({"url": "http://user:secret@host/hook"}, 422),
        ({"url": "http://host:99999/hook"}, 403),
        ({"url": "http://ho\\st/hook"}, 403),
        ({"secret": "whsec_mine"}, 422),
    ],
)
async def test_what_cannot_be_a_webhook_is_refused(
    gateway: Gateway, wrong: dict[str, Any], status: int
) -> None:
    body = {"name": "pager", "url": CLOSED, "events": EVENTS, **wrong}
    problem(await gateway.call("admin", "POST", "/webhooks", body), status)
    path = f"/webhooks/{(await hook(gateway))['id']}"
    problem(await gateway.call("admin", "PATCH", path, wrong), status)


async def test_a_test_shows_what_the_receiver_answers(gateway: Gateway) -> None:
    async with receiving(204, 500) as receiver:
        made = await hook(gateway, receiver.url)
        path = f"/webhooks/{made['id']}"
        arrived = (await gateway.call("admin", "POST", f"{path}/test")).json()
        failed = (await gateway.call("admin", "POST", f"{path}/test")).json()
    assert (arrived["status"], arrived["last_status"], arrived["event"]) == (
        "delivered", 204, "webhook.test",
    )  # fmt: skip
    assert (failed["status"], failed["last_error"]) == ("given_up", "HTTP 500")
    first = receiver.requests[0]
    verify = manuals_verify(lambda: float(first.headers["webhook-timestamp"]))
    assert verify(made["secret"], first.headers, first.body)
    log = (await gateway.call("admin", "GET", f"{path}/deliveries")).json()
    assert [item["id"] for item in log["items"]] == [failed["id"], arrived["id"]]
    assert log["total"] == 2


async def test_what_happens_to_a_connection_is_in_the_log_of_deliveries(gateway: Gateway) -> None:
    path = f"/webhooks/{(await hook(gateway))['id']}/deliveries"
    made = await gateway.connection()
    await gateway.call("editor", "POST", f"/connections/{made['id']}/deactivate")
    page = (await gateway.call("admin", "GET", f"{path}?limit=1")).json()
    assert page["total"] == 2
    (latest,) = page["items"]
    assert (latest["event"], latest["status"]) == ("connection.deactivated", "waiting")
    assert latest["payload"]["data"]["reason"] == "by editor"


async def test_how_a_connection_has_been_is_shown_a_page_at_a_time(each_gateway: Gateway) -> None:
    made = await each_gateway.connection()
    path, begun = f"/connections/{made['id']}/health", each_gateway.services.now()
    assert (await each_gateway.call("editor", "GET", path)).json() == {
        "status": "untested", "status_reason": "", "items": [], "total": 0, "limit": 50,
        "offset": 0,
    }  # fmt: skip
    for number in range(3):
        at = begun + timedelta(minutes=number)
        check = Check(at=at, outcome="overloaded", detail="overloaded (HTTP 503)")
        await each_gateway.store.record_check(SYSTEM, made["id"], check, HealthOptions())
    shown = (await each_gateway.call("editor", "GET", f"{path}?limit=1&offset=1")).json()
    assert (shown["status"], shown["status_reason"]) == ("error", "overloaded (HTTP 503)")
    assert (shown["total"], len(shown["items"])) == (3, 1)
    assert shown["items"][0]["detail"] == "overloaded (HTTP 503)"
    problem(await each_gateway.call("stranger", "GET", path), 404)
