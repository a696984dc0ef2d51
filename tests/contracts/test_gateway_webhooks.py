"""Tests webhooks and health over HTTP: created, changed, tested, and their logs read."""

from datetime import timedelta
from typing import Any

import pytest

from llm_router.connections.access import SYSTEM
from llm_router.connections.store import Check
from llm_router.options import HealthOptions
from tests.contracts.gateway import CLOSED, House, problem
from tests.contracts.receiver import receiving
from tests.unit.test_webhooks import manuals_verify

EVENTS = ["connection.status_changed", "connection.deactivated"]


async def hook(house: House, url: str = CLOSED, **fields: Any) -> dict[str, Any]:
    body = {"name": "pager", "url": url, "events": EVENTS, **fields}
    answer = await house.call("admin", "POST", "/webhooks", body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/api/webhooks/{made['id']}"
    return made


async def test_a_webhooks_secret_is_shown_once(house: House) -> None:
    made = await hook(house)
    assert made.pop("secret").startswith("whsec_")
    path = f"/webhooks/{made['id']}"
    assert (await house.call("admin", "GET", path)).json() == made
    assert (await house.call("admin", "GET", "/webhooks")).json() == {
        "items": [made], "total": 1, "limit": 50, "offset": 0,
    }  # fmt: skip
    for method, where in (("GET", "/audit"), ("PATCH", path), ("GET", f"{path}/deliveries")):
        answer = await house.call("admin", method, where, {} if method == "PATCH" else None)
        assert answer.status_code == 200
        assert "whsec_" not in answer.text


async def test_a_webhook_is_changed_and_removed(house: House) -> None:
    path = f"/webhooks/{(await hook(house))['id']}"
    changes = {"events": EVENTS[:1], "is_active": False, "version": 1}
    changed = (await house.call("admin", "PATCH", path, changes)).json()
    assert (changed["events"], changed["is_active"], changed["version"]) == (EVENTS[:1], False, 2)
    stale = problem(await house.call("admin", "PATCH", path, changes), 409)
    assert stale["current_version"] == 2
    assert (await house.call("admin", "DELETE", path)).status_code == 204
    for method in ("GET", "DELETE"):
        problem(await house.call("admin", method, path), 404)


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
    house: House, wrong: dict[str, Any], status: int
) -> None:
    body = {"name": "pager", "url": CLOSED, "events": EVENTS, **wrong}
    problem(await house.call("admin", "POST", "/webhooks", body), status)
    path = f"/webhooks/{(await hook(house))['id']}"
    problem(await house.call("admin", "PATCH", path, wrong), status)


async def test_a_test_shows_what_the_receiver_answers(house: House) -> None:
    async with receiving(204, 500) as receiver:
        made = await hook(house, receiver.url)
        path = f"/webhooks/{made['id']}"
        arrived = (await house.call("admin", "POST", f"{path}/test")).json()
        failed = (await house.call("admin", "POST", f"{path}/test")).json()
    assert (arrived["status"], arrived["last_status"], arrived["event"]) == (
        "delivered", 204, "webhook.test",
    )  # fmt: skip
    assert (failed["status"], failed["last_error"]) == ("given_up", "HTTP 500")
    first = receiver.requests[0]
    verify = manuals_verify(lambda: float(first.headers["webhook-timestamp"]))
    assert verify(made["secret"], first.headers, first.body)
    log = (await house.call("admin", "GET", f"{path}/deliveries")).json()
    assert [item["id"] for item in log["items"]] == [failed["id"], arrived["id"]]
    assert log["total"] == 2


async def test_what_happens_to_a_connection_is_in_the_log_of_deliveries(house: House) -> None:
    path = f"/webhooks/{(await hook(house))['id']}/deliveries"
    made = await house.connection()
    await house.call("editor", "POST", f"/connections/{made['id']}/deactivate")
    page = (await house.call("admin", "GET", f"{path}?limit=1")).json()
    assert page["total"] == 2
    (latest,) = page["items"]
    assert (latest["event"], latest["status"]) == ("connection.deactivated", "waiting")
    assert latest["payload"]["data"]["reason"] == "by editor"


async def test_how_a_connection_has_been_is_shown_a_page_at_a_time(each_house: House) -> None:
    made = await each_house.connection()
    path, begun = f"/connections/{made['id']}/health", each_house.served.now()
    assert (await each_house.call("editor", "GET", path)).json() == {
        "status": "untested", "status_reason": "", "items": [], "total": 0, "limit": 50,
        "offset": 0,
    }  # fmt: skip
    for number in range(3):
        at = begun + timedelta(minutes=number)
        check = Check(at=at, outcome="overloaded", detail="overloaded (HTTP 503)")
        await each_house.store.record_check(SYSTEM, made["id"], check, HealthOptions())
    shown = (await each_house.call("editor", "GET", f"{path}?limit=1&offset=1")).json()
    assert (shown["status"], shown["status_reason"]) == ("error", "overloaded (HTTP 503)")
    assert (shown["total"], len(shown["items"])) == (3, 1)
    assert shown["items"][0]["detail"] == "overloaded (HTTP 503)"
    problem(await each_house.call("stranger", "GET", path), 404)
