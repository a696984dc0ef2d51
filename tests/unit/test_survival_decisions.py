"""The decisions about who has died, how long to wait, and where the next agent goes on."""

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.agents import llm

from agent.staff import TRANSFER_TOOL
from agent.survival.black_box import MAX_ITEMS, TOO_LONG, BlackBox, Note, read_box
from agent.survival.identity import identity_of
from agent.survival.outcomes import CUT, NOTHING_DONE, UNKNOWN
from agent.survival.patience import (
    CLAIM_WITHIN,
    deaths_with,
    may_replace,
    pause_after,
    poll_after,
    windows,
)
from agent.survival.remains import half_item_id
from agent.survival.restore import after, resume
from agent.survival.silence import HUNG_AFTER, STARTING, HungJobs, JobBeat, SilentCalls
from agent.survival.worker_watch import waited_for_processor
from llm_router.integrations.livekit.history import unfinished
from llm_router.voice.calls import ANSWERED_BY, Call, CallItem

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CALL = Call(id="c", room="r", job="j", worker="w", last_beat=NOW, started_at=NOW, updated_at=NOW)
TOOL = {"call_id": "t1", "name": "book", "arguments": '{"at":"9"}'}
ITEM = {"id": "i", "role": "user", "text": "When?", "at": 1.0}
HELLO, SORRY = "Hello, how can I help?", "Sorry, I was away."


def test_what_was_said_before_a_call_comes_before_what_was_said_in_it() -> None:
    said = CallItem(id="1", role="user", text="And on Sunday?", created_at=NOW)
    taken = resume(CALL, [said], gap=1.0, greeting=HELLO, apology=SORRY)
    whole = after([("user", "When do you open?"), ("assistant", "At nine.")], taken)
    texts = [item.text_content for item in whole.context.items if item.type == "message"]
    assert texts == ["When do you open?", "At nine.", "And on Sunday?"]
    assert whole.owes_reply
    whole.context.add_message(role="assistant", content="We are closed.")
    assert isinstance(last := whole.context.items[-1], llm.ChatMessage)
    assert last.text_content == "We are closed."


# ── Identities ───────────────────────────────────────────────────────────────────────────────────


def test_each_agent_of_a_call_has_an_identity_of_its_own() -> None:
    assert identity_of("call-1", 2) == "agent-call-1-2"
    assert identity_of("call-1", 3) != identity_of("call-1", 2)


@given(st.text(max_size=600), st.text(max_size=600))
def test_identities_are_bounded_and_tell_rooms_apart(room: str, other: str) -> None:
    assert len(identity_of(room, 999)) < 160
    assert (identity_of(room, 1) == identity_of(other, 1)) == (room == other)


# ── Black boxes ──────────────────────────────────────────────────────────────────────────────────


def test_a_box_holds_the_last_note_and_the_last_beat(tmp_path: Path) -> None:
    file = tmp_path / "calls" / "7"
    with BlackBox(file) as box:
        for number in range(5):
            box.write(Note(voiced=f"We open at {number}", tools=[TOOL], items=[ITEM]))
            box.beat(float(number), at_rest=number == 4)
        left = read_box(file)
        assert left is not None
        assert left.note == Note(voiced="We open at 4", tools=[TOOL], items=[ITEM])
        assert (left.beat, left.at_rest) == (4.0, True)
    assert read_box(file) is None


def test_a_note_that_was_cut_off_leaves_the_one_before_it(tmp_path: Path) -> None:
    file = tmp_path / "7"
    with BlackBox(file) as box:
        box.write(Note(voiced="We open"))
        box.write(Note(voiced="We open at nine"))
        whole = file.read_bytes()
        file.write_bytes(whole.replace(b"at nine", b"at \0\0\0\0"))
        left = read_box(file)
    assert left is not None
    assert left.note.voiced == "We open"


def noted(tmp_path: Path, note: Note) -> Note:
    """Returns a note as it is read from its box."""
    with BlackBox(tmp_path / "7") as box:
        box.write(note)
        left = read_box(tmp_path / "7")
    assert left is not None
    return left.note


@pytest.mark.parametrize("letter", ["x", "\u0416", "\U0001f600", '"', "\0", "\ud800"])
def test_a_box_is_bounded_and_names_each_tool(tmp_path: Path, letter: str) -> None:
    tools = [{**TOOL, "call_id": f"t{n}", "arguments": letter * 100_000} for n in range(100)]
    items = [{**ITEM, "text": letter * 100_000}] * 10
    left = noted(tmp_path, Note(voiced=letter * 100_000, tools=tools, items=items))
    assert len(left.voiced) >= 1000
    assert [(tool["call_id"], tool["name"]) for tool in left.tools] == [
        (f"t{n}", "book") for n in range(100)
    ]
    assert all(tool["arguments"] == TOO_LONG for tool in left.tools)
    assert len(left.items) == MAX_ITEMS


def test_the_words_of_items_make_room_for_arguments_and_voiced_words(tmp_path: Path) -> None:
    tool = {**TOOL, "arguments": '"' + "x" * 10_000 + '"'}
    items = [{**ITEM, "text": "\u0416" * 2_000}] * 4
    left = noted(tmp_path, Note(voiced="\u0416" * 6_000, tools=[tool], items=items))
    assert left.voiced == "\u0416" * 6_000
    assert left.tools == [tool]
    assert {item["text"] for item in left.items} == {"\u0416" * 400}


def test_where_nothing_can_be_written_a_box_is_silent(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with BlackBox(tmp_path / "file" / "7") as box:
        box.beat(1.0)
        box.write(Note(voiced="We open"))
    assert read_box(tmp_path / "file" / "7") is None


# ── Hung processes ───────────────────────────────────────────────────────────────────────────────


def steps(
    hung: HungJobs,
    beats: Sequence[float],
    began: float = 0.0,
    every: float = 0.25,
    waits: float = 0.0,
) -> float:
    """Returns the time at which process 1 was found to hang; -1: never.

    `waits`: the part of its time in which it waits for a processor.
    """
    for number, beat in enumerate(beats):
        now = began + number * every
        if hung.step({1: JobBeat(beat, waits * now)}, now):
            return now
    return -1.0


def test_a_loop_without_a_beat_hangs_after_its_time() -> None:
    found = steps(HungJobs(0.25), [*range(1, 8), *[8] * 40])
    assert HUNG_AFTER < found - 7 * 0.25 <= HUNG_AFTER + 0.5


def test_a_loop_that_beats_now_and_then_does_not_hang() -> None:
    assert steps(HungJobs(0.25), [beat for beat in range(1, 20) for _ in range(9)]) == -1


@pytest.mark.parametrize(("waits", "after"), [(0.5, 5.0), (1.0, 10.0)])
def test_a_process_that_waits_for_a_processor_hangs_later(waits: float, after: float) -> None:
    found = steps(HungJobs(0.25), [1.0] * 100, waits=waits)
    assert after < found <= after + 0.5


def test_a_process_shows_how_long_it_waited_for_a_processor() -> None:
    before = waited_for_processor(os.getpid())
    assert 0 <= before <= waited_for_processor(os.getpid())
    assert waited_for_processor(2**22 + 1) == 0.0


def test_a_process_may_take_longer_to_begin() -> None:
    assert STARTING < steps(HungJobs(0.25), [0.0] * 100) <= STARTING + 0.5


def test_a_worker_that_was_stopped_itself_gives_everyone_time_anew() -> None:
    hung = HungJobs(0.25)
    assert not hung.step({1: JobBeat(1.0)}, 0.0)
    assert not hung.step({1: JobBeat(1.0)}, 60.0)
    assert not hung.step({1: JobBeat(1.0)}, 60.25)
    assert steps(hung, [1.0] * 40, began=60.5) > 62.0


# ── Calls in the database ────────────────────────────────────────────────────────────────────────


def found_after(call: Call, seconds: float) -> list[float]:
    """Returns the times at which a call whose beat stays the same is found to be lost."""
    silent = SilentCalls()
    readings = [number * 0.5 for number in range(int(seconds * 2))]
    return [now for now in readings if silent.step([call], now)]


def test_a_beat_that_stays_away_is_found_within_two_seconds_and_once() -> None:
    assert found_after(CALL, 5.0) == [1.0]


def test_an_agent_that_has_noted_its_end_is_lost_at_once_and_once() -> None:
    assert found_after(replace(CALL, worker=""), 5.0) == [0.0]


def test_a_later_agent_is_left_to_the_process_that_called_it() -> None:
    [found] = found_after(replace(CALL, job="", epoch=2), 10.0)
    assert found >= 8.0


def test_a_beat_that_comes_late_is_no_death() -> None:
    """A clock that is ahead makes every beat late; they change all the same."""
    silent = SilentCalls()
    for number in range(40):
        beat = NOW + timedelta(seconds=number // 2)
        assert silent.step([replace(CALL, last_beat=beat)], number * 0.5) == []


def test_a_database_that_stood_still_is_no_death() -> None:
    silent = SilentCalls()
    assert silent.step([CALL], 0.0) == []
    assert silent.step([CALL], 30.0) == []


# ── Patience ─────────────────────────────────────────────────────────────────────────────────────


def test_checks_for_an_agent_are_few_and_a_missing_claim_is_noticed_soon() -> None:
    checks = [0.0]
    while checks[-1] < 4.0:
        checks.append(checks[-1] + poll_after(checks[-1]))
    assert len(checks) < 9
    assert min(at for at in checks if at >= CLAIM_WITHIN) < CLAIM_WITHIN + 0.3


def test_agents_are_called_a_few_times_with_more_time_for_each() -> None:
    assert [windows(attempt).claim for attempt in range(3)] == [1.5, 3.0, 6.0]
    assert windows(0).present == 4.0
    assert [pause_after(attempt) is None for attempt in range(3)] == [False, False, True]
    covered = [pause_after(attempt, is_covered=True) is None for attempt in range(8)]
    assert covered == [False] * 7 + [True]
    assert windows(7) == windows(2)


def test_agents_that_die_one_after_another_are_not_replaced_for_ever() -> None:
    deaths: tuple[float, ...] = ()
    may = []
    for now in range(20):
        deaths = deaths_with(deaths, float(now))
        may.append(may_replace(deaths))
    assert may == [True] * 3 + [False] * 17
    assert len(deaths) == 4
    assert may_replace(deaths_with(deaths, 500.0))


# ── Where the next agent goes on ─────────────────────────────────────────────────────────────────


def said(role: str, text: str, **fields: object) -> CallItem:
    return CallItem(
        id=f"{role}-{text}",
        role=role,  # type: ignore[arg-type]  # a literal of the tests
        text=text,
        created_at=NOW,
        **fields,  # type: ignore[arg-type]  # fields by name
    )


def going_on(call: Call, *items: CallItem, gap: float = 1.0) -> "tuple[list[str], str, str, bool]":
    """Returns the texts of the history, the words to continue, the opening, and if one replies."""
    found = resume(call, items, gap=gap, greeting=HELLO, apology=SORRY)
    context, begun = unfinished(found.context)
    texts = [one.text_content or "" for one in context.items if isinstance(one, llm.ChatMessage)]
    return texts, begun, found.opening, found.owes_reply


ASKED = said("user", "When do you open?")
GREETED = said("assistant", HELLO)


def test_half_a_sentence_is_continued() -> None:
    found = going_on(replace(CALL, voiced="We open at"), GREETED, ASKED)
    assert found == ([HELLO, "When do you open?"], "We open at", "", True)


def test_a_question_without_a_word_of_an_answer_is_answered() -> None:
    assert going_on(CALL, GREETED, ASKED) == ([HELLO, "When do you open?"], "", "", True)


@pytest.mark.parametrize(("gap", "opening"), [(1.0, ""), (3.0, SORRY)])
def test_an_answer_that_was_whole_is_not_repeated(gap: float, opening: str) -> None:
    assert going_on(CALL, GREETED, gap=gap) == ([HELLO], "", opening, False)


def test_a_caller_without_a_greeting_is_greeted() -> None:
    assert going_on(CALL) == ([], "", HELLO, False)


def test_a_greeting_is_finished_and_not_begun_again() -> None:
    found = going_on(replace(CALL, voiced="Hello, how"))
    assert found == (["Hello, how"], "", "can I help?", False)


@pytest.mark.parametrize(
    ("voiced", "rest"),
    [
        ("Hello, how can", "I  help?"),
        ("Hello,  ho", "how can I help?"),
        ("Hello, how can I help?", ""),
        ("Good morning", HELLO),
    ],
)
def test_the_rest_of_a_greeting_is_found_by_its_words(voiced: str, rest: str) -> None:
    written = HELLO.replace("how", "\nhow").replace("can", " can")
    found = resume(replace(CALL, voiced=voiced), [], gap=1.0, greeting=written, apology=SORRY)
    assert found.opening.split() == rest.split()


@pytest.mark.parametrize(
    ("voiced", "items", "is_first"),
    [("", [], True), ("Hel", [], False), ("", [said("user", "Hi")], False)],
)
def test_an_agent_that_is_the_first_to_be_met_knows_so(
    voiced: str, items: list[CallItem], *, is_first: bool
) -> None:
    left = replace(CALL, voiced=voiced)
    found = resume(left, items, gap=1.0, greeting=HELLO, apology=SORRY)
    assert found.is_first is is_first


@pytest.mark.parametrize("known", [{"answered_at": NOW}, {"metadata": {ANSWERED_BY: "person"}}])
def test_a_person_whom_an_agent_was_about_to_greet_was_met(known: dict[str, Any]) -> None:
    found = resume(replace(CALL, **known), [], gap=1.0, greeting=HELLO, apology=SORRY)
    assert not found.is_first


def test_a_second_death_in_the_same_reply_leaves_both_halves() -> None:
    half = replace(said("assistant", "We open at", interrupted_at=3), id=half_item_id(2))
    call = replace(CALL, voiced=" nine and")
    assert going_on(call, ASKED, half) == (["When do you open?"], "We open at nine and", "", True)
    assert going_on(CALL, ASKED, half) == (["When do you open?"], "We open at", "", True)


def test_a_reply_that_its_agent_could_still_store_is_continued() -> None:
    cut = said("assistant", "We open at", interrupted_at=3)
    assert going_on(CALL, GREETED, ASKED, cut)[1:] == ("We open at", "", True)
    assert going_on(CALL, GREETED, ASKED, cut, said("user", "Hello?"))[1:] == ("", "", True)
    greeting = said("assistant", "Hello, how", interrupted_at=2)
    assert going_on(CALL, greeting)[2:] == ("can I help?", False)


def test_a_tool_that_ran_is_not_run_again() -> None:
    found = resume(
        replace(CALL, tools_in_flight=[TOOL]), [ASKED], gap=1.0, greeting=HELLO, apology=SORRY
    )
    call, output = found.context.items[-2:]
    assert isinstance(call, llm.FunctionCall)
    assert isinstance(output, llm.FunctionCallOutput)
    assert (call.call_id, call.name, call.arguments) == ("t1", "book", '{"at":"9"}')
    assert (output.call_id, output.output, output.is_error) == ("t1", UNKNOWN, True)
    assert found.owes_reply


def test_a_caller_whose_transfer_broke_off_learns_so_and_may_have_it_repeated() -> None:
    running = {"call_id": "t1", "name": TRANSFER_TOOL, "arguments": '{"person":"Mara"}'}
    call = replace(CALL, tools_in_flight=[running])
    found = resume(call, [ASKED], gap=9.0, greeting=HELLO, apology=SORRY, cut="It broke.")
    assert (found.opening, found.in_history, found.owes_reply) == ("It broke.", True, False)
    output = found.context.items[-1]
    assert isinstance(output, llm.FunctionCallOutput)
    assert output.output == CUT
    assert CUT.endswith(NOTHING_DONE)


def test_a_tool_whose_result_is_stored_keeps_it() -> None:
    result = {**TOOL, "output": "booked", "is_error": False}
    item = said("tool", "", tool_calls=[result])
    found = resume(
        replace(CALL, tools_in_flight=[TOOL]), [ASKED, item], gap=1.0, greeting="", apology=""
    )
    outputs = [one for one in found.context.items if isinstance(one, llm.FunctionCallOutput)]
    assert [one.output for one in outputs] == ["booked"]
    assert found.owes_reply
