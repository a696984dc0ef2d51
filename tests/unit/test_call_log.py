"""Tests how a call is written while it goes on: by a store that answers, is away, or says no."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.agents import (
    AgentSession,
    CloseEvent,
    CloseReason,
    ConversationItemAddedEvent,
    FunctionToolsExecutedEvent,
    ToolCallEnded,
    ToolCallStarted,
    ToolExecutionUpdatedEvent,
    llm,
)

from agent.call_log import CallLog, LoggedCall
from agent.staff import PERSON
from llm_router.errors import StoreError
from llm_router.integrations.livekit import ROUTE
from llm_router.routing.events import AttemptEvent, ReplyEvent
from llm_router.store.calls import CallStore
from llm_router.store.database import Database
from llm_router.store.migrations import migrate
from llm_router.testing import ManualClock
from llm_router.voice.calls import (
    INTERRUPTED_BY,
    Call,
    CallAgent,
    CallFacts,
    CallFilters,
    CallItem,
)

LOGGED = LoggedCall(
    room="r",
    epoch=1,
    agent=CallAgent(identity="agent", worker="w", job="j1"),
    facts=CallFacts(assistant="desk", keep="transcript"),
)


class Session(rtc.EventEmitter[Any]):
    """The events of a session, as LiveKit emits them."""

    current_speech: object = "the speech that is voiced"

    def says(self, role: llm.ChatRole, text: str, **values: Any) -> None:
        message = llm.ChatMessage(role=role, content=[text], **values)
        self.emit("conversation_item_added", ConversationItemAddedEvent(item=message))

    def state(self, state: str) -> None:
        self.emit("agent_state_changed", SimpleNamespace(new_state=state))

    def hears(self, state: str) -> None:
        self.emit("user_state_changed", SimpleNamespace(new_state=state))

    def end_speech(self, speech: object) -> None:
        """Emits the begin of a speech, and ends it."""
        ends: list[Any] = []
        handle = SimpleNamespace(add_done_callback=ends.append)
        self.emit("speech_created", SimpleNamespace(speech_handle=handle))
        for end in ends:
            end(speech)

    def closes(self, reason: CloseReason) -> None:
        self.emit("close", CloseEvent(reason=reason))


class Away:
    """A store that can be away; it passes calls on to the real one."""

    def __init__(self, store: CallStore) -> None:
        self._store = store
        self.is_away = False
        self.tries = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def ask(*args: Any, **kwargs: Any) -> Any:
            self.tries += 1
            if self.is_away:
                raise StoreError("no answer")
            return await method(*args, **kwargs)

        return ask


class Scene:
    def __init__(self, store: CallStore, **options: Any) -> None:
        self.store = store
        self.door = Away(store)
        self.session = Session()
        self.room = SimpleNamespace(remote_participants={})
        logged = options.pop("logged", LOGGED)
        self.log = CallLog(cast("Any", self.door), logged, **options)
        self.why = ""

    def start(self) -> None:
        session = cast("AgentSession[Any]", self.session)
        self.log.progress.follow(session)
        self.log.start(session, cast("rtc.Room", self.room), lambda: self.why)

    async def written(self) -> tuple[Call, Sequence[CallItem]]:
        """Writes what waits, and returns what is stored of the call."""
        await self.log._task.step_once()
        found = await self.store.history("r")
        assert found
        return found


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CallStore]:
    database = Database(f"sqlite:///{tmp_path}/calls.sqlite3")
    await migrate(database)
    yield CallStore(database)
    await database.aclose()


@asynccontextmanager
async def scene(store: CallStore, **options: Any) -> AsyncIterator[Scene]:
    made = Scene(store, **options)
    made.start()
    try:
        yield made
    finally:
        made.door.is_away = False
        await made.log.aclose()


def reply(reply_id: str = "r1", **values: Any) -> ReplyEvent:
    facts: dict[str, Any] = {
        "session_id": "r", "connection": "spare", "model": "m", "first_word": 0.41234,
        "took_over_from": ["first"], "attempts": 2, "resumes": 0, "last_resort": False,
        "cancelled": False, "characters": 5, "wasted": 0, "failures": (), "duration": 1.0,
    }  # fmt: skip
    return ReplyEvent(reply_id=reply_id, **facts | values)


def attempt(connection: str, outcome: str, started: float) -> AttemptEvent:
    return AttemptEvent(
        connection=connection, role="first", outcome=outcome, failure=None, started_at=started,
        first_word=0.2, duration=0.5, characters=5,
    )  # fmt: skip


async def test_each_item_is_written_with_the_receipt_of_its_reply(store: CallStore) -> None:
    async with scene(store) as now:
        now.session.says("user", "When do you open?")
        tries = [attempt("spare", "won", 0.2), attempt("first", "silent", 0.0)]
        now.log.reply_ended(reply(tries=tries))
        extra = {ROUTE: {"reply_id": "r1"}}
        metrics: Any = {"e2e_latency": 0.61234}
        now.session.says("assistant", "At nine.", extra=extra, metrics=metrics)
        call, (asked, answered) = await now.written()
    assert (call.agent, call.worker, call.job, call.assistant) == ("agent", "w", "j1", "desk")
    assert (asked.role, asked.text, asked.receipt) == ("user", "When do you open?", {})
    assert (answered.role, answered.text, answered.interrupted_at) == (
        "assistant",
        "At nine.",
        None,
    )
    receipt = answered.receipt
    assert (receipt["connection"], receipt["first_word"]) == ("spare", 0.412)
    assert receipt["took_over_from"] == ["first"]
    assert receipt["times"] == {"e2e_latency": 0.612}
    assert [(one["connection"], one["outcome"]) for one in receipt["attempts"]] == [
        ("first", "silent"), ("spare", "won"),
    ]  # fmt: skip


async def test_an_interrupted_item_ends_at_its_last_voiced_word(store: CallStore) -> None:
    async with scene(store) as now:
        now.session.says("assistant", "We open at", interrupted=True)
        _, (item,) = await now.written()
    assert (item.text, item.interrupted_at) == ("We open at", 3)
    assert INTERRUPTED_BY not in item.receipt


async def test_a_reply_that_the_caller_has_interrupted_says_so(store: CallStore) -> None:
    async with scene(store) as now:
        now.session.hears("speaking")  # the question
        now.session.hears("listening")
        now.session.state("speaking")
        now.session.says("assistant", "We open", interrupted=True)
        now.session.state("speaking")
        now.session.hears("speaking")
        now.session.hears("listening")
        now.session.says("assistant", "At nine", interrupted=True)
        _, (cut, interrupted) = await now.written()
    assert INTERRUPTED_BY not in cut.receipt
    assert interrupted.receipt[INTERRUPTED_BY] == "caller"


async def test_arguments_without_their_card_number_are_still_json(store: CallStore) -> None:
    given = '{"card": 4111111111111111, "name": "Ann"}'
    tool = llm.FunctionCall(call_id="t1", name="pay", arguments=given)
    async with scene(store) as now:
        started = ToolCallStarted(function_call=tool)
        now.session.emit("tool_execution_updated", ToolExecutionUpdatedEvent(update=started))
        call, _ = await now.written()
    [noted] = call.tools_in_flight
    assert json.loads(noted["arguments"]) == {"card": "[card number]", "name": "Ann"}


async def test_card_numbers_are_not_stored_unless_that_is_set(store: CallStore) -> None:
    said = "It is 4111 1111 1111 1111."
    async with scene(store) as now:
        now.session.says("user", said)
        await now.log.progress.voiced.capture_text(said)
        call, (item,) = await now.written()
    assert item.text == call.voiced == "It is [card number]."


async def test_tools_are_in_flight_until_their_results_are_stored(store: CallStore) -> None:
    tool = llm.FunctionCall(call_id="t1", name="book", arguments="{}")
    result = llm.FunctionCallOutput(call_id="t1", name="book", output="done", is_error=False)
    async with scene(store) as now:
        started = ToolCallStarted(function_call=tool)
        now.session.emit("tool_execution_updated", ToolExecutionUpdatedEvent(update=started))
        call, _ = await now.written()
        assert [one["name"] for one in call.tools_in_flight] == ["book"]
        ended = ToolCallEnded(id="t1", call_id="t1", status="done")
        now.session.emit("tool_execution_updated", ToolExecutionUpdatedEvent(update=ended))
        call, _ = await now.written()
        assert call.tools_in_flight
        executed = FunctionToolsExecutedEvent(function_calls=[tool], function_call_outputs=[result])
        now.session.emit("function_tools_executed", executed)
        call, (item,) = await now.written()
    assert not call.tools_in_flight
    assert item.role == "tool"
    assert list(item.tool_calls) == [
        {"call_id": "t1", "name": "book", "arguments": "{}", "output": "done", "is_error": False}
    ]


async def test_the_words_voiced_so_far_are_stored_until_the_reply_is_an_item(
    store: CallStore,
) -> None:
    async with scene(store) as now:
        now.session.state("speaking")
        await now.log.progress.voiced.capture_text("We open ")
        await now.log.progress.voiced.capture_text("at")
        call, _ = await now.written()
        assert call.voiced == "We open at"
        assert call.answered_at
        now.session.says("assistant", "We open at nine.")
        call, _ = await now.written()
        assert call.voiced == ""
        await now.log.progress.voiced.capture_text(
            "Are you still there?"
        )  # a phrase that is no item
        now.session.state("listening")
        assert now.log.progress.voiced.text  # it may be a pause
        now.session.end_speech(object())  # a reply that was begun early, and given up
        assert now.log.progress.voiced.text
        now.session.end_speech(now.session.current_speech)
        assert now.log.progress.voiced.text == ""


async def test_a_caller_on_the_telephone_makes_it_a_call_by_phone(store: CallStore) -> None:
    async with scene(store) as now:
        call, _ = await now.written()
        assert call.kind == "web"
        phone = rtc.ParticipantKind.PARTICIPANT_KIND_SIP
        dialled = SimpleNamespace(kind=phone, identity=f"{PERSON}1")  # by an agent, for the caller
        now.room.remote_participants["q"] = dialled
        call, _ = await now.written()
        assert call.kind == "web"
        now.room.remote_participants["p"] = SimpleNamespace(kind=phone, identity="sip_+15550123")
        call, _ = await now.written()
        assert call.kind == "phone"


async def test_what_is_said_while_the_store_is_away_is_written_when_it_is_back(
    store: CallStore,
) -> None:
    async with scene(store) as now:
        now.door.is_away = True
        for number in range(150):
            now.session.says("user", f"word {number}")
        await now.log._task.step_once()
        assert await store.history("r") is None
        now.door.is_away = False
        await now.written()
        _, items = await now.written()
    assert [item.text for item in items] == [f"word {number}" for number in range(150)]


async def test_what_waits_is_bounded(store: CallStore, caplog: pytest.LogCaptureFixture) -> None:
    async with scene(store, bound=3) as now:
        now.door.is_away = True
        for number in range(5):
            now.session.says("user", f"word {number}")
        assert now.log.dropped == 2
        now.door.is_away = False
        _, items = await now.written()
    assert [item.text for item in items] == ["word 0", "word 1", "word 2"]
    assert caplog.text.count("too slowly") == 1
    assert "word" not in caplog.text.replace("words", "")


async def test_a_call_of_another_agent_is_not_written_and_this_one_leaves(
    store: CallStore,
) -> None:
    other = CallAgent(identity="other", worker="w2", job="j2")
    left = list[bool]()
    async with scene(store) as now:
        now.log.on_superseded = lambda: left.append(True)
        now.session.says("user", "Hello?")
        call, _ = await now.written()
        assert await store.claim("r", 2, other, call.started_at)
        await now.log.progress.voiced.capture_text("from a ghost")
        await now.written()
        assert now.log.is_superseded
        assert left == [True]
        now.session.says("user", "Anybody?")
    found = await store.history("r")  # the end of a ghost is not the call's
    assert found
    assert [item.text for item in found[1]] == ["Hello?"]


async def test_a_removed_call_goes_on_and_is_not_written_any_more(store: CallStore) -> None:
    async with scene(store) as now:
        now.log.on_superseded = lambda: pytest.fail("the caller loses the agent")
        call, _ = await now.written()
        await store.remove(call.id)
        now.session.says("user", "Hello?")
        await now.log._task.step_once()
        assert now.log.is_superseded
    assert await store.history("r") is None


async def _is_removed(store: CallStore, call: Call) -> None:
    await store.remove(call.id)


async def _has_ended(store: CallStore, call: Call) -> None:
    await store.end(call.id, "busy", call.started_at)


async def _has_ended_without_its_next_agent(store: CallStore, call: Call) -> None:
    assert await store.advance("r", 2, call.started_at)
    await store.end(call.id, "busy", call.started_at)


@pytest.mark.parametrize("ends", [_is_removed, _has_ended, _has_ended_without_its_next_agent])
async def test_what_is_learned_of_a_call_that_is_over_begins_no_second_one(
    store: CallStore, ends: Callable[[CallStore, Call], Awaitable[None]]
) -> None:
    async with scene(store) as now:
        call, _ = await now.written()
        await ends(store, call)
        now.log.learn(kind="phone")
        await now.log._task.step_once()
        assert now.log.is_superseded
    assert await store.going_on("r") is None
    found, _ = await store.find(CallFilters(room="r"))
    assert [one.state for one in found] == ["ended"] * (ends is not _is_removed)


@pytest.mark.parametrize(
    ("close", "why", "reason"),
    [
        (CloseReason.PARTICIPANT_DISCONNECTED, "", "caller left"),
        (CloseReason.USER_INITIATED, "", "agent ended"),
        (CloseReason.USER_INITIATED, "silence", "silence"),
        (CloseReason.JOB_SHUTDOWN, "", "worker stopped"),
    ],
)
async def test_the_end_of_a_call_is_stored_with_the_last_items_and_its_reason(
    store: CallStore, close: CloseReason, why: str, reason: str
) -> None:
    async with scene(store) as now:
        now.why = why
        call, _ = await now.written()
        now.session.says("user", "Goodbye.")
        now.session.closes(close)
    ended, items = await store.read(call.id)
    assert (ended.state, ended.reason) == ("ended", reason)
    assert [item.text for item in items] == ["Goodbye."]


class Gone:
    """A store that never answers."""

    def __getattr__(self, name: str) -> Any:
        async def ask(*_: Any, **__: Any) -> Any:
            raise StoreError("no answer")

        return ask


def test_a_store_that_stays_away_holds_up_the_end_for_five_seconds_and_the_loss_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()

    async def a_call() -> float:
        session = Session()
        log = CallLog(cast("Any", Gone()), LOGGED, clock)
        room = cast("rtc.Room", SimpleNamespace(remote_participants={}))
        log.start(cast("AgentSession[Any]", session), room)
        session.says("user", "Goodbye.")
        await clock.sleep(60)
        before = clock.now()
        await log.aclose()
        return clock.now() - before

    assert clock.run(a_call()) == pytest.approx(5.0)
    assert "1 items of a call are lost" in caplog.text
    assert caplog.text.count("until the store of calls answers again") == 1
    assert "Goodbye" not in caplog.text


async def test_the_last_words_go_through_another_store_when_the_process_is_to_end(
    store: CallStore,
) -> None:
    async with scene(store) as made:
        await made.written()
        made.door.is_away = True
        made.session.says("user", "Count to twenty.")
        await made.log.progress.voiced.capture_text("One two")
        await made.log.leave(store)
        call, items = cast("tuple[Call, Sequence[CallItem]]", await store.history("r"))
    assert (call.voiced, [item.text for item in items]) == ("One two", ["Count to twenty."])
