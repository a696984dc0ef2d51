"""Tests the figures of calls, and that the calls behind a figure of attempts are found."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from llm_router.store.analytics import Span
from llm_router.store.call_figures import CallFigures, call_figures
from llm_router.store.calls import CallStore
from llm_router.store.database import Database
from llm_router.store.usage import UsageLog
from llm_router.voice.calls import AttemptFilters, Call, CallAgent, CallFacts, CallFilters
from tests.contracts.gateway import ROLES, Gateway, problem
from tests.contracts.usage_records import MONDAY, attempt

DAY = timedelta(days=1)
ALL = Span(since=MONDAY, until=MONDAY + 9 * DAY)


async def begun(database: Database, room: str, *, day: int = 0, **facts: Any) -> Call:
    known = CallFacts(**{"kind": "web", "keep": "facts", "assistant": "desk"} | facts)
    agent = CallAgent(identity="agent", worker="w1", job=room)
    call = await CallStore(database).claim(room, 1, agent, MONDAY + day * DAY, known)
    assert call
    return call


async def ended(database: Database, room: str, reason: str, seconds: float, day: int = 0) -> None:
    calls = CallStore(database)
    call = await begun(database, room, day=day)
    at = call.started_at
    await calls.note(call.id, 1, at, answered=True)
    await calls.end(call.id, reason, at + timedelta(seconds=seconds))


async def test_calls_are_counted_by_their_end_their_day_and_their_assistant(
    database: Database,
) -> None:
    await ended(database, "a", "caller left", 90)
    await ended(database, "b", "caller left", 30.5, 1)
    await ended(database, "c", "silence", 10, 1)
    await begun(database, "d", day=1, kind="phone", assistant="shop")
    await begun(database, "too late", day=20)
    total, by_day, by_assistant = await call_figures(database, ALL, (), ["at"], ["assistant"])
    assert total[()] == CallFigures(
        calls=4,
        answered=3,
        going_on=1,
        seconds=130.5,
        reasons={"caller left": 2, "silence": 1},
        kinds={"web": 3, "phone": 1},
    )
    assert {at: found.calls for (at,), found in by_day.items()} == {MONDAY: 1, MONDAY + DAY: 3}
    assert {name: found.calls for (name,), found in by_assistant.items()} == {"desk": 3, "shop": 1}
    [only] = await call_figures(database, replace(ALL, assistant="desk"), (), kind="phone")
    assert only == {}


WON = {"outcome": "won", "role": "first"}
ROOMS: dict[str, list[dict[str, Any]]] = {
    "smooth": [WON],
    "failed over": [{"outcome": "silent"}, {"role": "failover", "silence_avoided": 1.5}],
    "elsewhere": [WON | {"connection_id": "2", "pool": "night"}],
    "slow": [{"outcome": "lost"}, {"role": "hedge"}],
}


@pytest.mark.parametrize(
    ("had", "rooms"),
    [
        ({}, {*ROOMS}),
        ({"role": "hedge"}, {"slow"}),
        ({"outcome": "failed"}, {"failed over"}),
        ({"outcome": "won", "role": "first"}, {"smooth", "elsewhere"}),
        ({"outcome": "silent", "connection_id": "1"}, {"failed over"}),
        ({"outcome": "silent", "connection_id": "2"}, set()),
        ({"pool": "night"}, {"elsewhere"}),
        ({"avoided_silence": True}, {"failed over"}),
    ],
)
async def test_the_calls_behind_a_figure_are_found(
    database: Database, had: dict[str, Any], rooms: set[str]
) -> None:
    for room, attempts in ROOMS.items():
        await begun(database, room)
        log = [attempt(session_id=room, reply_id=room, **facts) for facts in attempts]
        await UsageLog(database).append(log)
    filters = CallFilters(attempts=AttemptFilters(**had))
    found, total = await CallStore(database).find(filters)
    assert ({call.room for call in found}, total) == (rooms, len(rooms))


async def test_figures_of_calls_are_for_admins(gateway: Gateway) -> None:
    await begun(gateway.services.database, "r")
    for role in ROLES:
        answer = await gateway.call(role, "GET", "/calls/figures")
        if role == "admin":
            assert answer.status_code == 200
        else:
            problem(answer, 403)
    around = {"since": MONDAY.isoformat(), "until": (MONDAY + DAY).isoformat(), "bucket": "hour"}
    found = (await gateway.call("admin", "GET", "/calls/figures", params=around)).json()
    assert found["figures"]["calls"] == found["figures"]["going_on"] == 1
    [hour], [assistant] = found["items"], found["assistants"]
    assert hour["at"].startswith("2026-11-02T00:00:00")
    assert (assistant["assistant"], assistant["figures"]["kinds"]) == ("desk", {"web": 1})
    problem(await gateway.call("admin", "GET", "/calls", params={"role": "toaster"}), 422)
    none = await gateway.call("admin", "GET", "/calls", params={"outcome": "failed"})
    assert none.json()["total"] == 0
