"""Tests usage and analytics over HTTP: their figures, and the roles that see them."""

from datetime import timedelta
from typing import Any

import pytest

from llm_router.store.summaries import roll_up
from llm_router.store.usage import UsageLog, UsageRecord
from llm_router.store.usage_figures import Figures
from tests.contracts.gateway import ROLES, STRANGER, Gateway, problem
from tests.contracts.usage_records import attempt

ANALYTICS = ("/analytics/summary", "/analytics/timeseries", "/analytics/connections")
DAY = timedelta(days=1)


async def used(gateway: Gateway, *attempts: UsageRecord) -> dict[str, Any]:
    """A connection of the team, with these attempts and one that has just been made."""
    made = await gateway.connection(team="red", visibility="team", monthly_budget=20.0)
    now = gateway.services.now()
    new = attempt(
        at=now, connection_id=made["id"], connection_name="desk", pool="default", ttft=0.25,
        integration="livekit", cost=0.5, session_id="call-1", delivered=True,
    )  # fmt: skip
    await UsageLog(gateway.services.database).append([new, *attempts])
    return made


@pytest.mark.parametrize("path", [*ANALYTICS, "/connections/{id}/usage"])
async def test_every_role_may_read_usage_and_a_key_is_needed(gateway: Gateway, path: str) -> None:
    path = path.replace("{id}", (await used(gateway))["id"])
    for role in ROLES:
        assert (await gateway.call(role, "GET", path)).status_code == 200
    problem(await gateway.call("", "GET", path), 401)


async def test_usage_of_others_is_not_shown(gateway: Gateway) -> None:
    made = await used(gateway)
    problem(await gateway.call(STRANGER, "GET", f"/connections/{made['id']}/usage"), 404)
    summary = (await gateway.call(STRANGER, "GET", "/analytics/summary")).json()
    assert (summary["figures"]["attempts"], summary["pools"]) == (0, [])
    for path in ANALYTICS[1:]:
        assert (await gateway.call(STRANGER, "GET", path)).json()["items"] == []


async def test_a_connection_shows_what_it_was_used_for(gateway: Gateway) -> None:
    made = await used(gateway)
    path = f"/connections/{made['id']}/usage"
    found = (await gateway.call("viewer", "GET", path, params={"bucket": "hour"})).json()
    assert found["figures"]["attempts"] == found["figures"]["requests"] == 1
    assert found["figures"]["ttft"]["p95"] == pytest.approx(0.25, rel=0.05)
    assert [item["figures"]["attempts"] for item in found["items"]] == [1]
    assert (found["spent_this_month"], found["monthly_budget"]) == (0.5, 20.0)
    [latest] = found["latest"]
    assert (latest["session_id"], latest["ttft"], latest["cost"]) == ("call-1", 0.25, 0.5)


async def test_connections_stand_side_by_side_the_most_used_first(gateway: Gateway) -> None:
    now = gateway.services.now()
    gone = [attempt(at=now, connection_name="gone", outcome="silent") for _ in range(2)]
    made = await used(gateway, *gone)
    await roll_up(gateway.services.database)
    items = (await gateway.call("admin", "GET", "/analytics/connections")).json()["items"]
    assert [(item["connection_id"], item["name"]) for item in items] == [
        ("1", "gone"),
        (made["id"], "desk"),
    ]
    assert items[0]["figures"]["outcomes"] == {"silent": 2}
    asked = {"limit": 1, "offset": 1, "order": "cost"}
    page = (await gateway.call("admin", "GET", "/analytics/connections", params=asked)).json()
    assert ([item["name"] for item in page["items"]], page["total"]) == (["gone"], 2)


async def test_a_summary_is_of_the_time_that_is_asked_for(gateway: Gateway) -> None:
    now = gateway.services.now()
    old = attempt(at=now - 10 * DAY, pool="night")
    await used(gateway, old)

    async def summary(**asked: Any) -> Any:
        return (await gateway.call("admin", "GET", "/analytics/summary", params=asked)).json()

    usual = await summary()
    assert [group["pool"] for group in usual["pools"]] == ["default"]
    assert [group["integration"] for group in usual["integrations"]] == ["livekit"]
    assert [group["assistant"] for group in usual["assistants"]] == [""]
    longer = await summary(since=(now - 20 * DAY).isoformat())
    assert [group["pool"] for group in longer["pools"]] == ["default", "night"]
    assert longer["figures"]["attempts"] == 2
    earlier = await summary(until=(now - 5 * DAY).isoformat(), pool="night")
    assert earlier["figures"]["attempts"] == 1
    assert set(longer["figures"]) == set(Figures.__slots__)


@pytest.mark.parametrize(
    "asked",
    [
        {"since": "2026-11-02T00:00:00"},
        {"since": "2026-11-02T00:00:00Z", "until": "2026-11-01T00:00:00Z"},
        {"since": "2026-10-02T00:00:00Z", "bucket": "hour"},
        {"bucket": "minute"},
        {"pol": "default"},
    ],
)
async def test_an_invalid_span_is_refused(gateway: Gateway, asked: dict[str, str]) -> None:
    problem(await gateway.call("admin", "GET", "/analytics/timeseries", params=asked), 422)


async def test_the_ends_of_the_calendar_are_no_trouble(gateway: Gateway) -> None:
    asked = {"since": "0001-01-01T00:00:00+14:00", "until": "9999-12-31T23:59:59-14:00"}
    for path in ("/analytics/summary", "/analytics/connections"):
        assert (await gateway.call("admin", "GET", path, params=asked)).status_code == 200
