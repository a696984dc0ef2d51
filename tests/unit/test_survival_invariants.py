"""Whatever an agent leaves: no voiced word is lost or repeated, and no effect comes twice."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from livekit.agents import llm

from agent.dispatch import Dispatch
from agent.survival.black_box import TOO_LONG
from agent.survival.outcomes import UNKNOWN
from agent.survival.remains import half_item_id
from agent.survival.restore import Resumption, resume
from agent.survival.takeover import take_over
from agent.toolbox.earlier import recall_runs
from agent.toolbox.effects import Effects, NotDoneError, OutcomeUnknownError
from agent.toolbox.errors import ToolError
from llm_router.integrations.livekit.history import unfinished
from llm_router.testing import ManualClock
from llm_router.voice.calls import INTERRUPTED_BY, Call, CallItem, CallPort
from llm_router.voice.redaction import redact_tools

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CALL = Call(id="c", room="r", job="j", last_beat=NOW, started_at=NOW, updated_at=NOW)
HELLO = "Hello, how can I help?"


def item(role: str, text: str = "", **fields: Any) -> CallItem:
    fields = {"id": f"{role}-{text}", "created_at": NOW, **fields}
    return CallItem(role=cast("Any", role), text=text, **fields)


ASKED = item("user", "When do you open?")


class Store:
    """The call and its items, as the database has them."""

    def __init__(self, *items: CallItem, **fields: Any) -> None:
        self.call = replace(CALL, **fields)
        self.items = [*items]

    async def history(self, room: str) -> tuple[Call, list[CallItem]]:
        return self.call, [*self.items]

    async def append(self, call_id: str, items: Sequence[CallItem], now: datetime) -> int:
        self.items += items
        if any(one.role == "assistant" for one in items):
            self.call = replace(self.call, voiced="")
        return len(self.items)

    def next_agent(self) -> Resumption:
        """Lets the agent die, and another one take over."""
        self.call = replace(self.call, epoch=self.call.epoch + 1)
        dispatch = Dispatch(epoch=self.call.epoch)
        port = cast("CallPort", self)
        coming = take_over(
            port, "r", dispatch, ManualClock(), greeting=HELLO, phrase=lambda _, __: ""
        )
        return asyncio.run(coming)


def spoken(context: llm.ChatContext) -> list[str]:
    said = (one for one in context.messages() if one.role == "assistant")
    return [word for one in said for word in (one.text_content or "").split()]


# ── Words ────────────────────────────────────────────────────────────────────────────────────────

WORDS = st.lists(st.sampled_from(["I", "think", "we", "open", "at", "nine"]), max_size=4)
DEATHS = st.lists(st.tuples(WORDS, st.sampled_from(["killed", "closed", "late"])), max_size=5)


def dies(store: Store, words: Sequence[str], way: str) -> None:
    """Leaves what an agent leaves that has voiced these words."""
    text, epoch = " ".join(words), store.call.epoch
    if way == "closed":
        identity = f"item-{epoch}"
        cut = item("assistant", text, id=identity, interrupted_at=len(words), epoch=epoch)
        store.items.append(cut)
    else:
        store.call = replace(store.call, voiced=f" {text} ")


@given(DEATHS)
def test_each_voiced_word_is_continued_once_however_often_agents_die(
    deaths: Sequence[tuple[Sequence[str], str]],
) -> None:
    store, voiced = Store(ASKED), list[str]()
    for words, way in deaths:
        epoch = store.call.epoch
        dies(store, words, way)
        voiced += words
        found = store.next_agent()
        _, begun = unfinished(found.context)
        assert begun.split() == voiced
        assert spoken(found.context) == voiced
        assert found.owes_reply
        if way == "late" and words:  # it was not dead, and stores its part after all
            late = item("assistant", " ".join(words), id=f"late-{epoch}", interrupted_at=1)
            store.items.append(replace(late, epoch=epoch))


@given(st.lists(st.integers(1, 3), max_size=5))
def test_a_greeting_is_said_once_however_often_agents_die(sizes: Sequence[int]) -> None:
    store, words, said = Store(), HELLO.split(), list[str]()
    for size in sizes:
        part = words[len(said) : len(said) + size]
        dies(store, part, "killed")
        said += part
        found = store.next_agent()
        assert [*said, *found.opening.split()] == words
        assert spoken(found.context) == said


def test_a_word_that_an_earlier_half_holds_as_well_is_no_repetition() -> None:
    half = item("assistant", "I think", id=half_item_id(2), interrupted_at=2)
    found = Store(ASKED, half, voiced="I", epoch=2).next_agent()
    assert unfinished(found.context)[1] == "I think I"


@pytest.mark.parametrize("voiced", ["", "We open"])
def test_an_interrupted_reply_without_a_word_leaves_the_question(voiced: str) -> None:
    found = Store(ASKED, item("assistant", interrupted_at=0), voiced=voiced).next_agent()
    context, begun = unfinished(found.context)
    assert [one.text_content for one in context.messages()] == ["When do you open?"]
    assert begun == voiced
    assert found.owes_reply


def test_a_reply_that_the_caller_has_interrupted_is_not_continued() -> None:
    receipt = {INTERRUPTED_BY: "caller"}
    found = Store(
        ASKED, item("assistant", "We open", interrupted_at=2, receipt=receipt)
    ).next_agent()
    assert unfinished(found.context)[1] == ""
    assert not found.owes_reply


def test_half_a_sentence_before_a_lost_tool_is_part_of_the_conversation() -> None:
    tool = {"call_id": "t", "name": "book", "arguments": "{}"}
    store = Store(ASKED, voiced="Let me book", tools_in_flight=[tool])
    found = store.next_agent()
    assert [one.type for one in found.context.items] == [
        "message", "message", "function_call", "function_call_output",
    ]  # fmt: skip
    assert spoken(found.context) == ["Let", "me", "book"]
    assert unfinished(found.context)[1] == ""
    again = store.next_agent()
    assert spoken(again.context) == ["Let", "me", "book"]


# ── Effects ──────────────────────────────────────────────────────────────────────────────────────

CARD = "4111 1111 1111 1111"
VALUES = st.one_of(
    st.sampled_from(["", CARD, "Ann \U0001f600", 4111111111111111, None, 1.5, True]),
    st.lists(st.sampled_from([4111, 1111, 7]), max_size=4),
    st.dictionaries(st.sampled_from("ab"), st.sampled_from([CARD, 1]), max_size=2),
)
ARGUMENTS = st.dictionaries(st.sampled_from(["card", "name", "note"]), VALUES, max_size=2)
DONE, NOT_DONE, FAILED = (
    "done",
    NotDoneError("refused").message,
    OutcomeUnknownError("late").message,
)
RUNS = st.lists(
    st.tuples(
        st.sampled_from(["pay", "book"]),
        ARGUMENTS,
        st.sampled_from([DONE, NOT_DONE, FAILED, "An internal error occurred", "in flight"]),
    ),
    max_size=5,
)


def noted(runs: Sequence[tuple[str, Mapping[str, Any], str]]) -> Store:
    """Returns a store with the runs as they are stored, without card numbers."""
    stored, in_flight = list[dict[str, Any]](), list[dict[str, Any]]()
    for number, (name, arguments, output) in enumerate(runs):
        tool = {"call_id": f"t{number % 2}", "name": name, "arguments": json.dumps(arguments)}
        if output == "in flight":
            in_flight.append(tool)
        else:
            stored.append({**tool, "output": output, "is_error": output != DONE})
    result = item("tool", tool_calls=redact_tools(stored))
    return Store(ASKED, result, tools_in_flight=redact_tools(in_flight))


async def runs_again(
    context: llm.ChatContext, runs: Sequence[tuple[str, Mapping[str, Any]]]
) -> list[bool]:
    """Returns which of these an agent runs that goes on with this context."""
    effects, ran = Effects("call-1"), list[str]()
    recall_runs(effects, context)

    async def run(key: str) -> str:
        ran.append(key)
        raise NotDoneError("so that the next one may run")

    found: list[bool] = []
    for name, arguments in runs:
        before = len(ran)
        with suppress(ToolError):
            await effects.once(name, arguments, run)
        found.append(len(ran) > before)
    return found


@given(RUNS, st.integers(1, 3))
@example([("book", {}, "in flight"), ("pay", {}, DONE), ("book", {}, NOT_DONE)], 1)
def test_no_tool_that_may_have_had_an_effect_runs_again_after_any_number_of_deaths(
    runs: Sequence[tuple[str, Mapping[str, Any], str]], deaths: int
) -> None:
    store = noted(runs)
    for _ in range(deaths):
        found = store.next_agent()
        store.call = replace(store.call, tools_in_flight=[])  # the next agent notes its own
    again = asyncio.run(runs_again(found.context, [(name, given) for name, given, _ in runs]))
    for (name, arguments, output), ran in zip(runs, again, strict=True):
        if output != NOT_DONE:
            assert not ran
        elif not any(name == other for other, _, outcome in runs if outcome != NOT_DONE):
            assert ran, arguments


@pytest.mark.parametrize(
    ("arguments", "output", "may_run"),
    [
        (TOO_LONG, UNKNOWN, False),
        ("nonsense", "Error parsing arguments for `pay`: nonsense", True),
        ("nonsense", "paid", False),
    ],
)
def test_arguments_that_are_not_known_may_be_any(
    arguments: str, output: str, *, may_run: bool
) -> None:
    tool = {"call_id": "t", "name": "pay", "arguments": arguments, "output": output}
    stored = item("tool", tool_calls=[{**tool, "is_error": output != "paid"}])
    found = resume(CALL, [ASKED, stored], gap=0.0, greeting="", apology="")
    assert asyncio.run(runs_again(found.context, [("pay", {"sum": 7})])) == [may_run]


async def test_a_known_result_stands_before_an_unknown_one() -> None:
    effects = Effects("call-1")
    effects.recall("pay", {}, None)
    effects.recall("pay", {}, "receipt 7")
    effects.recall("pay", {}, None)
    effects.recall("pay", {}, "Done already. The result was: receipt 7")

    async def run(_: str) -> str:
        pytest.fail("it runs again")

    assert (await effects.once("pay", {}, run)).endswith("was: receipt 7")
    assert "already. The" not in await effects.once("pay", {}, run)
