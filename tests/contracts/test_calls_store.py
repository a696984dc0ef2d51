"""Tests the store of calls on each database: who may answer a call, and what stays of it."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from llm_router.clock import SystemClock
from llm_router.errors import NotFoundError
from llm_router.store.call_retention import CallRetention
from llm_router.store.calls import CallStore
from llm_router.store.database import Database
from llm_router.voice.calls import (
    HANDED_TO,
    TRIAL,
    Call,
    CallAgent,
    CallFacts,
    CallFilters,
    CallItem,
    Keep,
)

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
FACTS = CallFacts(assistant="desk", caller="c1", kind="phone", keep="transcript")


@pytest.fixture
def calls(database: Database) -> CallStore:
    return CallStore(database)


def agent(job: str, worker: str = "w1") -> CallAgent:
    return CallAgent(identity=f"agent-{job}", worker=worker, job=job)


def item(name: str, text: str = "", **values: Any) -> CallItem:
    role = values.pop("role", "user")
    return CallItem(id=name, role=role, text=text or name, created_at=NOW, **values)


async def claimed(calls: CallStore, room: str = "r", job: str = "j1", **facts: Any) -> Call:
    values = {"assistant": "desk", "caller": "c1", "kind": "phone", "keep": "transcript"} | facts
    call = await calls.claim(room, 1, agent(job), NOW, CallFacts(**values))
    assert call
    return call


async def texts(calls: CallStore, call_id: str, after: int = 0) -> Sequence[str]:
    return [item.text for item in (await calls.read(call_id, after=after))[1]]


async def test_what_each_agent_notes_of_a_call_stays_beside_what_others_have_noted(
    calls: CallStore,
) -> None:
    await claimed(calls, metadata={"site": "shop", "deaths": 1})
    again = CallFacts(metadata={"deaths": 2, "answered_by": "person"})
    call = await calls.claim("r", 1, agent("j1"), NOW, again)
    assert call
    assert call.metadata == {"site": "shop", "deaths": 2, "answered_by": "person"}


async def test_what_is_tried_in_a_call_is_removed_at_its_end(calls: CallStore) -> None:
    call = await claimed(calls, metadata={"site": "shop", TRIAL: "sealed"})
    assert (await calls.get(call.id)).metadata[TRIAL] == "sealed"
    assert await calls.end(call.id, "caller left", LATER)
    assert (await calls.get(call.id)).metadata == {"site": "shop"}


# ── Who answers ──────────────────────────────────────────────────────────────────────────────────


async def test_a_call_that_nothing_opened_begins_with_the_claim_of_its_agent(
    calls: CallStore,
) -> None:
    call = await claimed(calls, metadata={"site": "shop"})
    assert (call.room, call.epoch, call.state) == ("r", 1, "agent")
    assert (call.agent, call.worker, call.job) == ("agent-j1", "w1", "j1")
    assert (call.assistant, call.caller, call.kind, call.keep) == (
        "desk", "c1", "phone", "transcript",
    )  # fmt: skip
    assert call.metadata == {"site": "shop"}
    assert call.started_at == call.last_beat == NOW
    assert await calls.get(call.id) == call


async def test_of_many_claims_of_one_epoch_one_wins(calls: CallStore) -> None:
    for epoch in (1, 2, 3):
        jobs = [agent(f"j{epoch}-{number}") for number in range(6)]
        won = await asyncio.gather(*(calls.claim("r", epoch, job, NOW) for job in jobs))
        assert sum(call is not None for call in won) == 1


async def test_of_many_leaders_that_advance_a_call_one_wins(calls: CallStore) -> None:
    await claimed(calls)
    won = await asyncio.gather(*(calls.advance("r", 2, LATER) for _ in range(6)))
    assert sorted(won) == [False] * 5 + [True]
    waiting = await calls.history("r")
    assert waiting
    assert (waiting[0].epoch, waiting[0].job, waiting[0].last_beat) == (2, "", LATER)
    assert await calls.claim("r", 2, agent("j2"), LATER)


async def test_a_claim_that_is_repeated_succeeds_again_and_a_stale_one_never(
    calls: CallStore,
) -> None:
    first = await claimed(calls)
    assert await calls.claim("r", 1, agent("j1"), LATER)
    assert await calls.claim("r", 1, agent("j9"), LATER) is None
    assert await calls.claim("r", 3, agent("j3"), LATER) is None
    second = await calls.claim("r", 2, agent("j2"), LATER)
    assert second
    assert second.id == first.id
    assert second.assistant == "desk"
    assert await calls.claim("r", 1, agent("j1"), LATER) is None


async def test_new_facts_of_an_agent_whose_call_has_ended_begin_no_second_call(
    calls: CallStore,
) -> None:
    call = await claimed(calls)
    await calls.end(call.id, "busy", LATER)
    assert await calls.claim("r", 1, agent("j1"), LATER, CallFacts(kind="phone")) is None
    found, count = await calls.find(CallFilters(room="r"))
    assert ([one.reason for one in found], count) == (["busy"], 1)


async def test_a_room_whose_call_has_ended_begins_a_new_one_with_its_first_agent_alone(
    calls: CallStore,
) -> None:
    first = await claimed(calls)
    assert await calls.end(first.id, "caller left", LATER)
    assert await calls.claim("r", 2, agent("j2"), LATER) is None
    second = await calls.claim("r", 1, agent("j3"), LATER)
    assert second
    assert second.id != first.id
    assert await calls.claim("never stored", 2, agent("j4"), LATER)  # no database at its start


async def test_a_call_that_a_person_answers_is_claimed_by_no_agent(calls: CallStore) -> None:
    call = await claimed(calls)
    assert await calls.hand_over(call.id, 1, LATER)
    assert await calls.claim("r", 2, agent("j2"), LATER) is None
    assert not await calls.advance("r", 2, LATER)
    assert await calls.end(call.id, "transferred", LATER)


async def test_an_agent_that_leaves_a_call_to_a_person_does_not_end_it(calls: CallStore) -> None:
    call = await claimed(calls, metadata={"site": "shop"})
    assert await calls.hand_over(call.id, 1, LATER, to="person")
    assert not await calls.hand_over(call.id, 1, LATER, to="person")
    assert not await calls.end(call.id, "agent ended", LATER, epoch=1)
    handed = await calls.get(call.id)
    assert (handed.state, handed.last_beat) == ("handed_over", LATER)
    assert handed.metadata == {"site": "shop", HANDED_TO: "person"}
    much_later = LATER + timedelta(hours=2)
    await calls.seen([call.id], much_later)
    assert await calls.end_lost(much_later, LATER + timedelta(hours=1), NOW) == 0
    assert await calls.end(call.id, "transferred", much_later)


async def test_calls_that_persons_answer_are_read_in_turn(calls: CallStore) -> None:
    first, second, third = [await claimed(calls, room) for room in ("a", "b", "c")]
    for minutes, call in enumerate((second, first)):
        assert await calls.hand_over(call.id, 1, LATER + timedelta(minutes=minutes))
    assert [call.id for call in await calls.handed_over(1)] == [second.id]
    await calls.seen([second.id], LATER + timedelta(minutes=5))
    assert [call.id for call in await calls.handed_over(1)] == [first.id]
    assert third.id not in {call.id for call in await calls.handed_over(9)}


async def test_a_call_that_is_given_back_awaits_its_next_agent_once(calls: CallStore) -> None:
    call = await claimed(calls)
    assert await calls.give_back(call.id, LATER) is None
    assert await calls.hand_over(call.id, 1, LATER, to="supervisor")
    given = await calls.give_back(call.id, LATER)
    assert given
    assert (given.state, given.epoch, given.agent, given.job) == ("agent", 1, "", "")
    assert await calls.give_back(call.id, LATER) is None
    assert await calls.advance("r", 2, LATER)
    assert await calls.claim("r", 2, agent("j2"), LATER)


async def test_beats_of_a_worker_tell_it_which_calls_are_still_its(calls: CallStore) -> None:
    mine, lost, ended = [await claimed(calls, room) for room in ("a", "b", "c")]
    assert await calls.claim("b", 2, agent("j2", "w2"), NOW)
    await calls.end(ended.id, "caller left", NOW)
    epochs = {call.id: 1 for call in (mine, lost, ended)}
    assert await calls.beat("w1", epochs, LATER) == {mine.id}
    assert await calls.beat("w1", {}, LATER) == set()
    silent, _ = await calls.find(CallFilters(state="agent", beat_before=LATER))
    assert [call.id for call in silent] == [lost.id]


# ── What was said ────────────────────────────────────────────────────────────────────────────────


async def test_items_are_numbered_as_they_come_and_stored_once(calls: CallStore) -> None:
    call = await claimed(calls)
    assert await calls.append(call.id, [item("a"), item("b")], NOW) == 2
    assert await calls.append(call.id, [item("b"), item("c", epoch=2)], NOW) == 3
    assert await calls.append(call.id, [item("a")], NOW) == 3
    assert await texts(calls, call.id) == ["a", "b", "c"]
    assert await texts(calls, call.id, after=2) == ["c"]
    assert (await calls.get(call.id)).items == 3


async def test_writers_at_the_same_time_lose_no_item(calls: CallStore) -> None:
    call = await claimed(calls)
    names = [f"i{number}" for number in range(12)]
    await asyncio.gather(*(calls.append(call.id, [item(name)], NOW) for name in names))
    stored = (await calls.read(call.id))[1]
    assert sorted(one.id for one in stored) == sorted(names)
    assert [one.number for one in stored] == list(range(1, 13))


async def test_an_item_comes_back_as_it_was(calls: CallStore) -> None:
    call = await claimed(calls)
    tool = {
        "call_id": "t1",
        "name": "get_time",
        "arguments": "{}",
        "output": "9",
        "is_error": False,
    }
    whole = item(
        "a", "We open\0at", role="assistant", interrupted_at=3, epoch=1, tool_calls=[tool],
        receipt={"connection": "desk", "first_word": 0.3},
    )  # fmt: skip
    await calls.append(call.id, [whole, item("b", "lone \ud800"), item("c", "x" * 40_000)], NOW)
    _, (stored, lone, long) = await calls.read(call.id)
    assert stored.text == "We open\ufffdat"
    assert (stored.role, stored.interrupted_at, stored.created_at) == ("assistant", 3, NOW)
    assert list(stored.tool_calls) == [tool]
    assert stored.receipt == {"connection": "desk", "first_word": 0.3}
    assert (lone.text, len(long.text)) == ("lone ?", 32_000)


async def test_the_next_agent_finds_the_words_voiced_and_the_tools_in_flight(
    calls: CallStore,
) -> None:
    call = await claimed(calls)
    await calls.append(call.id, [item("a", "When do you open?")], NOW)
    tool = {"call_id": "t1", "name": "book"}
    assert await calls.note(call.id, 1, LATER, voiced="We open", tools_in_flight=[tool])
    assert await calls.note(call.id, 1, LATER, answered=True)
    assert await calls.claim("r", 2, agent("j2"), LATER)
    assert not await calls.note(call.id, 1, LATER, voiced="from a ghost")
    found = await calls.history("r")
    assert found
    resumed, items = found
    assert await calls.going_on("r") == resumed
    assert (resumed.voiced, list(resumed.tools_in_flight)) == ("We open", [tool])
    assert resumed.answered_at == LATER
    assert [one.text for one in items] == ["When do you open?"]
    await calls.append(call.id, [item("b", "We open at nine.", role="assistant")], LATER)
    assert (await calls.get(call.id)).voiced == ""


# ── What stays ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("keep", "stays"), [("transcript", ["a"]), ("facts", []), ("nothing", None)]
)
async def test_at_its_end_a_call_keeps_what_it_is_to(
    calls: CallStore, keep: Keep, stays: list[str] | None
) -> None:
    call = await claimed(calls, keep=keep)
    await calls.append(call.id, [item("a")], NOW)
    await calls.note(call.id, 1, NOW, voiced="half a sent")
    assert await texts(calls, call.id) == ["a"]  # another agent may need it
    assert await calls.end(call.id, "caller left", LATER)
    assert not await calls.end(call.id, "agent ended", LATER)
    if stays is None:
        with pytest.raises(NotFoundError):
            await calls.get(call.id)
        return
    if keep == "facts":  # an item that waited for the database comes too late
        await calls.append(call.id, [item("b")], LATER)
    ended, items = await calls.read(call.id)
    assert [one.text for one in items] == stays
    assert (ended.state, ended.reason, ended.ended_at) == ("ended", "caller left", LATER)
    assert ended.voiced == ""


async def test_an_agent_that_was_replaced_ends_no_call(calls: CallStore) -> None:
    call = await claimed(calls)
    assert await calls.claim("r", 2, agent("j2"), NOW)
    assert not await calls.end(call.id, "agent ended", LATER, epoch=1)
    assert await calls.end(call.id, "agent ended", LATER, epoch=2)


async def test_calls_are_found_by_what_is_known_of_them(calls: CallStore) -> None:
    a = await claimed(calls, "a")
    b = await claimed(calls, "b", assistant="night", caller="c2", kind="web")
    await calls.append(b.id, [item("x", "Wo ist die Straße?")], LATER)
    await calls.end(b.id, "caller left", LATER)

    async def ids(**filters: Any) -> list[str]:
        return [call.id for call in (await calls.find(CallFilters(**filters)))[0]]

    assert set(await ids()) == {a.id, b.id}
    assert await ids(state="ended") == [b.id]
    assert await ids(assistant="night") == await ids(caller="c2") == await ids(kind="web") == [b.id]
    assert await ids(room="a") == [a.id]
    assert await ids(text="STRASSE") == [b.id]
    assert await ids(text="%") == []
    assert await ids(started_from=LATER) == await ids(started_to=NOW) == []
    assert await ids(updated_from=LATER) == [b.id]
    page, total = await calls.find(CallFilters(), limit=1, offset=1)
    assert (len(page), total) == (1, 2)


async def test_calls_without_a_sign_of_life_are_found_by_the_name_of_their_agent(
    calls: CallStore,
) -> None:
    for room in "abc":
        await claimed(calls, room, metadata={"agent_name": "other"})
    ours = await claimed(calls, "ours", metadata={"agent_name": "desk"})
    gone = await claimed(calls, "gone", metadata={"agent_name": "desk"})
    await calls.end(gone.id, "caller left", NOW)
    found = await calls.silent(LATER, {"agent_name": "desk"}, 1)
    assert [call.id for call in found] == [ours.id]
    assert await calls.silent(NOW, {"agent_name": "desk"}, 1) == []


async def test_the_calls_of_jobs_are_those_that_their_agents_answer(calls: CallStore) -> None:
    one, two, handed = [await claimed(calls, room, f"j-{room}") for room in "abc"]
    await calls.hand_over(handed.id, 1, NOW)
    jobs = [one.job, handed.job, "AJ_none"]
    assert [call.id for call in await calls.of_jobs(jobs)] == [one.id]
    assert await calls.of_jobs([]) == []
    await calls.end(one.id, "caller left", NOW)
    assert await calls.of_jobs([one.job]) == []
    assert (await calls.of_jobs([two.job]))[0].room == "b"


async def test_an_agent_that_notes_its_end_is_found_at_once_until_another_is_called(
    calls: CallStore,
) -> None:
    ours = await claimed(calls, "r", metadata={"agent_name": "desk"})
    assert await calls.note(ours.id, 1, LATER, voiced="We open", gone=True)
    [found] = await calls.silent(NOW, {"agent_name": "desk"}, 1)
    assert (found.voiced, found.worker, bool(found.job)) == ("We open", "", True)
    assert await calls.advance("r", 2, LATER)
    assert await calls.silent(NOW, {"agent_name": "desk"}, 1) == []


async def test_old_calls_are_removed_with_what_was_said(calls: CallStore) -> None:
    old, short, going_on = [await claimed(calls, room) for room in ("a", "b", "c")]
    for call in (old, short):
        await calls.append(call.id, [item("x")], NOW)
    await calls.end(old.id, "caller left", NOW)
    await calls.claim("b", 1, agent("j1"), NOW, CallFacts(keep_days=1))
    await calls.end(short.id, "caller left", NOW)
    assert not await calls.prune(NOW + timedelta(hours=23), None)
    assert (await calls.find(CallFilters()))[1] == 3
    assert not await calls.prune(NOW + timedelta(days=1), None)
    assert (await calls.find(CallFilters()))[1] == 2
    assert await calls.prune(NOW + timedelta(days=30), NOW + timedelta(days=1), limit=1)
    assert [call.id for call in (await calls.find(CallFilters()))[0]] == [going_on.id]
    await calls.remove(going_on.id)
    with pytest.raises(NotFoundError, match="there is no call"):
        await calls.remove(going_on.id)
    with pytest.raises(NotFoundError):
        await calls.append(going_on.id, [item("x")], NOW)


async def test_calls_without_a_sign_of_life_are_ended_as_lost(calls: CallStore) -> None:
    call = await claimed(calls)
    assert await calls.end_lost(LATER, NOW, NOW) == 0
    assert await calls.end_lost(LATER, NOW + timedelta(seconds=1), NOW) == 1
    lost = await calls.get(call.id)
    assert (lost.state, lost.reason) == ("ended", "lost")


async def test_upkeep_ends_lost_calls_and_deletes_old_ones(
    calls: CallStore, database: Database
) -> None:
    await claimed(calls)  # in 2026, and no sign of life since
    for retention, left in ((None, 1), (timedelta(days=1), 1), (timedelta(), 0)):
        work = CallRetention(database, SystemClock(), retention)
        await work._step()
        await work.aclose()
        assert [call.reason for call in (await calls.find(CallFilters()))[0]] == ["lost"] * left
