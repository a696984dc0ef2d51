"""Tests calls over the API: found, read with receipts, followed and resumed, deleted."""

import json
from collections.abc import Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from llm_router.clock import SystemClock
from llm_router.gateway.call_stream import follow_call, follow_calls
from llm_router.store.calls import CallStore
from llm_router.voice.assistant import AssistantRecord
from llm_router.voice.calls import TRIAL, Call, CallAgent, CallFacts, CallItem
from tests.contracts.databases import Files
from tests.contracts.gateway import Gateway, gateway_on, problem
from tests.contracts.noting_supervisor import Supervisor

AGENT = CallAgent(identity="agent", worker="w1", job="j1")
FACTS = CallFacts(
    assistant="desk", kind="phone", caller="c1", keep="transcript", metadata={TRIAL: "sealed"}
)


class Calls:
    """Calls in the database of a gateway, as agents write them."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.store = CallStore(gateway.services.database)

    @property
    def now(self) -> Any:
        return self.gateway.services.now()

    async def begin(self, room: str = "r") -> Call:
        call = await self.store.claim(room, 1, AGENT, self.now, FACTS)
        assert call
        return call

    async def say(self, call: Call, *texts: str) -> None:
        items = [
            CallItem(id=text, role="assistant", text=text, created_at=self.now,
                     receipt={"connection": "desk"})
            for text in texts
        ]  # fmt: skip
        await self.store.append(call.id, items, self.now)

    async def end(self, call: Call) -> None:
        await self.store.end(call.id, "caller left", self.now)

    async def get(self, path: str, **params: Any) -> Any:
        answer = await self.gateway.call("admin", "GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def stream(self, path: str, last: str = "") -> Sequence[tuple[str, str, Any]]:
        headers = {"Last-Event-ID": last} if last else {}
        answer = await self.gateway.call("admin", "GET", path, headers=headers)
        return events(answer)


@pytest.fixture
def calls(gateway: Gateway) -> Calls:
    return Calls(gateway)


def events(answer: httpx2.Response) -> Sequence[tuple[str, str, Any]]:
    """Returns the id, the name and the data of each event."""
    assert answer.headers["content-type"].startswith("text/event-stream")
    return [read(event) for event in answer.text.split("\n\n") if event.strip()]


def read(event: str) -> tuple[str, str, Any]:
    lines = dict(line.split(": ", 1) for line in event.strip().splitlines())
    return lines.get("id", ""), lines["event"], json.loads(lines["data"])


async def test_calls_are_found_and_read_with_what_was_said(calls: Calls) -> None:
    call = await calls.begin()
    other = await calls.begin("other")
    await calls.say(call, "At nine.", "Goodbye.")
    await calls.end(call)
    page = await calls.get("/calls", state="ended", assistant="desk", text="NINE")
    assert ([one["id"] for one in page["items"]], page["total"]) == ([call.id], 1)
    every = (await calls.get("/calls"))["items"]
    assert {one["id"] for one in every} == {call.id, other.id}
    assert [one["metadata"] for one in every] == [{}, {}]  # what is tried is sealed, and long
    later = (calls.now + timedelta(days=1)).isoformat()
    assert (await calls.get("/calls", started_from=later))["total"] == 0
    assert (await calls.get("/calls", kind="phone", caller="c1"))["total"] == 2
    found = await calls.get(f"/calls/{call.id}")
    assert (found["call"]["reason"], found["call"]["items"]) == ("caller left", 2)
    assert [item["text"] for item in found["items"]] == ["At nine.", "Goodbye."]
    assert found["items"][0]["receipt"] == {"connection": "desk"}
    rest = await calls.get(f"/calls/{call.id}", after=1)
    assert [item["number"] for item in rest["items"]] == [2]


async def test_a_stream_of_a_call_goes_on_after_the_last_event_received(calls: Calls) -> None:
    call = await calls.begin()
    await calls.say(call, "one", "two")
    first = await calls.stream(f"/calls/{call.id}/stream")
    assert [(event_id, name) for event_id, name, _ in first] == [
        ("1", "item"), ("2", "item"), ("2", "call"),
    ]  # fmt: skip
    await calls.say(call, "three")
    await calls.end(call)
    path = f"/calls/{call.id}/stream"
    (_, _, item), (_, _, state) = await calls.stream(path, last="2")
    assert (item["text"], state["state"]) == ("three", "ended")
    assert [name for _, name, _ in await calls.stream(path, last="3")] == ["call", "end"]
    headers = {"Last-Event-ID": "end"}
    done = await calls.gateway.call("admin", "GET", path, headers=headers)
    assert done.status_code == 204


async def test_a_follower_receives_items_as_they_come_and_the_end(calls: Calls) -> None:
    call = await calls.begin()
    seen = []
    following = follow_call(calls.store, call.id, 0, SystemClock(), 60.0)
    async with aclosing(following) as stream:
        async for event in stream:
            _, name, data = read(event)
            seen.append((name, data.get("text", data.get("state"))))
            if seen[-1] == ("call", "agent"):
                await calls.say(call, "one")
            elif name == "item":
                await calls.end(call)
    assert seen == [("call", "agent"), ("item", "one"), ("call", "ended"), ("end", "ended")]


async def test_a_follower_of_a_removed_call_learns_that_it_is_gone(calls: Calls) -> None:
    call = await calls.begin()
    following = follow_call(calls.store, call.id, 0, SystemClock(), 60.0)
    async with aclosing(following) as stream:
        assert read(await anext(stream))[1] == "call"
        await calls.store.remove(call.id)
        _, name, data = read(await anext(stream))
    assert (name, "there is no call" in data["detail"]) == ("error", True)


async def test_followers_of_the_list_see_calls_begin_change_end_and_disappear(
    calls: Calls,
) -> None:
    first = await calls.begin("a")
    async with aclosing(follow_calls(calls.store, None, SystemClock(), 60.0)) as stream:
        last, name, data = read(await anext(stream))
        assert (name, data["room"], data["state"]) == ("call", "a", "agent")
        second = await calls.begin("b")
        assert read(await anext(stream))[2]["room"] == "b"
        await calls.say(first, "one")
        assert read(await anext(stream))[2]["items"] == 1
        await calls.end(first)
        assert read(await anext(stream))[2]["state"] == "ended"
        await calls.store.remove(second.id)
        assert read(await anext(stream))[1:] == ("removed", {"id": second.id})
    again = await calls.stream("/calls/stream", last=last)
    assert [(name, data["room"]) for _, name, data in again] == [("call", "a")]


async def test_a_deleted_call_is_gone_and_the_audit_log_says_by_whom(calls: Calls) -> None:
    call = await calls.begin()
    await calls.say(call, "one")
    path = f"/calls/{call.id}"
    assert (await calls.gateway.call("admin", "DELETE", path)).status_code == 204
    assert (
        "there is no call" in problem(await calls.gateway.call("admin", "GET", path), 404)["detail"]
    )
    entry, *_ = (await calls.get("/audit", target=call.id))["items"]
    assert (entry["action"], entry["kind"], entry["actor"]) == ("remove", "call", "admin")


# ── Supervisors ──────────────────────────────────────────────────────────────────────────────────


async def test_admins_supervise_calls_and_what_they_did_is_in_the_audit_log(files: Files) -> None:
    supervisor = Supervisor()
    async with gateway_on(await files.new(), supervisor=supervisor) as gateway:
        calls = Calls(gateway)
        call = await calls.begin()
        path = f"/calls/{call.id}"
        seat = await gateway.call("admin", "POST", f"{path}/listen", {})
        assert seat.json() == {
            "server_url": "wss://voice.example", "participant_token": "t", "identity": "staff-1",
            "room": "r",
        }  # fmt: skip
        whispered = await gateway.call("admin", "POST", f"{path}/whisper", {"text": " Be brief. "})
        assert whispered.status_code == 204
        taken = await gateway.call("admin", "POST", f"{path}/take-over")
        assert taken.json()["room"] == "r"
        refused = await gateway.call("admin", "POST", f"{path}/release")
        assert "an agent does" in problem(refused, 409)["detail"]
        audit = (await gateway.call("admin", "GET", "/audit")).json()["items"]
    assert supervisor.done == [
        ("listen", call.id, 900), ("whisper", call.id, "Be brief."), ("take over", call.id),
        ("release", call.id),
    ]  # fmt: skip
    noted = [(entry["action"], entry["target"]) for entry in audit if entry["kind"] == "call"]
    assert noted == [(action, call.id) for action in ("take over", "whisper", "listen")]
    assert "brief" not in str(audit)


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("listen", {"seconds": 0}),
        ("listen", {"seconds": 10**9}),
        ("listen", {"room": "another"}),
        ("whisper", {}),
        ("whisper", {"text": " "}),
        ("whisper", {"text": "x" * 501}),
    ],
)
async def test_what_a_supervisor_asks_for_is_bounded(
    files: Files, action: str, body: dict[str, Any]
) -> None:
    supervisor = Supervisor()
    async with gateway_on(await files.new(), supervisor=supervisor) as gateway:
        call = await Calls(gateway).begin()
        answer = await gateway.call("admin", "POST", f"/calls/{call.id}/{action}", body)
        problem(answer, 422)
        absent = f"/calls/00000000-0000-0000-0000-000000000000/{action}"
        right = {"text": "Hello."} if action == "whisper" else {}
        problem(await gateway.call("admin", "POST", absent, right), 404)
    assert supervisor.done == []


async def test_no_call_is_planned_with_an_assistant_that_there_is_not(files: Files) -> None:
    in_file = {"desk": AssistantRecord(name="desk")}
    async with gateway_on(await files.new(), assistants_in_file=lambda: in_file) as gateway:
        made = await gateway.call("editor", "POST", "/assistants", {"name": "shop"})
        assert made.status_code == 201
        plans = [
            {"number": f"+1555012345{place}", "assistant": name}
            for place, name in enumerate(("", "default", "desk", "shop"))
        ]
        misspelt = {"number": "+15550123459", "assistant": "shpo"}
        for path, body in (("/calls", misspelt), ("/calls/planned", {"calls": [*plans, misspelt]})):
            refused = problem(await gateway.call("operator", "POST", path, body), 422)
            assert "no assistant 'shpo'" in refused["detail"]
        problem(await gateway.call("viewer", "POST", "/calls", misspelt), 403)
        answer = await gateway.call("operator", "POST", "/calls/planned", {"calls": plans})
        assert answer.status_code == 202
        once = {"number": "+15550123458", "assistant": "shop", "idempotency_key": "once"}
        first = await gateway.call("operator", "POST", "/calls", once)
        assert (await gateway.call("editor", "DELETE", "/assistants/shop")).status_code == 204
        again = await gateway.call("operator", "POST", "/calls", once)
        assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
        planned = await gateway.call("operator", "GET", "/calls/planned")
        assert planned.json()["total"] == len(plans) + 1


async def test_plans_too_far_ahead_are_refused_with_their_places(gateway: Gateway) -> None:
    plans = [
        {"number": f"+1555012345{place}", "earliest": f"{year}-01-01T09:00"}
        for place, year in enumerate((2100, 2020, 2100))
    ]
    answer = await gateway.call("operator", "POST", "/calls/planned", {"calls": plans})
    refused = problem(answer, 422)
    fields = [fault["field"] for fault in refused["errors"]]
    assert fields == ["calls.0.earliest", "calls.2.earliest"]
    alone = problem(await gateway.call("operator", "POST", "/calls", plans[0]), 422)
    assert alone["detail"] == "earliest: is more than a year ahead; plan the call later"
