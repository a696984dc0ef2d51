"""How far a reply is, as the black box has it: a phrase that ended is over, a run is not."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.agents import (
    AgentSession,
    ConversationItemAddedEvent,
    FunctionToolsExecutedEvent,
    ToolCallEnded,
    ToolCallStarted,
    ToolExecutionUpdatedEvent,
    llm,
)

from agent.progress import Progress
from agent.survival.black_box import BlackBox, Note, read_box
from agent.survival.journal import Journal
from agent.toolbox.effects import Effects, NotDoneError
from llm_router.clock import checkpoint
from llm_router.testing import ManualClock


class Session(rtc.EventEmitter[Any]):
    """The events of a session, as LiveKit emits them."""

    current_speech: object = None
    agent_state = user_state = "listening"

    def begin_speech(self) -> Any:
        """Begins a speech; its `end` ends it."""
        ends: list[Any] = []
        speech = SimpleNamespace(add_done_callback=ends.append)
        speech.end = lambda: [end(speech) for end in reversed(ends)]
        self.current_speech = speech
        self.emit("speech_created", SimpleNamespace(speech_handle=speech))
        return speech

    def says(self, role: llm.ChatRole, text: str) -> None:
        message = llm.ChatMessage(role=role, content=[text])
        self.emit("conversation_item_added", ConversationItemAddedEvent(item=message))

    def starts(self, name: str, arguments: str = "{}") -> llm.FunctionCall:
        call = llm.FunctionCall(call_id=name, name=name, arguments=arguments)
        self._tool(ToolCallStarted(function_call=call))
        return call

    def cancels(self, call: llm.FunctionCall) -> None:
        self._tool(ToolCallEnded(id=call.call_id, call_id=call.call_id, status="cancelled"))

    def executed(self, call: llm.FunctionCall) -> None:
        output = llm.FunctionCallOutput(
            call_id=call.call_id, name=call.name, output="done", is_error=False
        )
        event = FunctionToolsExecutedEvent(function_calls=[call], function_call_outputs=[output])
        self.emit("function_tools_executed", event)

    def _tool(self, update: ToolCallStarted | ToolCallEnded) -> None:
        self.emit("tool_execution_updated", ToolExecutionUpdatedEvent(update=update))


class Scene:
    def __init__(self, box: BlackBox, file: Path, effects: Effects) -> None:
        self.session = Session()
        self.may_rest = True
        clock = ManualClock(60.0)
        self.journal = Journal(box, clock, progress := Progress(effects))
        self._file = file
        session = cast("AgentSession[Any]", self.session)
        progress.follow(session)
        self.journal.follow(session, may_rest=lambda: self.may_rest)

    @property
    def left(self) -> Note:
        """The note that stays if the process dies now."""
        found = read_box(self._file)
        assert found
        return found.note


@contextmanager
def scene(tmp_path: Path, effects: Effects | None = None) -> Iterator[Scene]:
    file = tmp_path / "7"
    with BlackBox(file) as box:
        yield Scene(box, file, effects or Effects("call-1"))


async def test_a_phrase_that_ended_is_not_left_to_be_continued(tmp_path: Path) -> None:
    with scene(tmp_path) as now:
        speech = now.session.begin_speech()
        await now.journal.capture_text("Are you still there?")
        assert now.left.voiced == "Are you still there?"
        speech.end()
        assert now.left.voiced == ""
        now.session.says("user", "When do you open?")
        assert now.left.voiced == ""


async def test_a_reply_that_is_an_item_is_not_left_as_voiced_words(tmp_path: Path) -> None:
    with scene(tmp_path) as now:
        now.session.begin_speech()
        await now.journal.capture_text("At ")
        await now.journal.capture_text("nine.")
        assert now.left.voiced == "At nine."
        now.session.says("assistant", "At nine.")
        assert (now.left.voiced, now.left.items[-1]["text"]) == ("", "At nine.")


async def test_a_card_number_is_not_left(tmp_path: Path) -> None:
    with scene(tmp_path) as now:
        now.session.begin_speech()
        await now.journal.capture_text("It is 4111 1111 1111 1111.")
        now.session.starts("pay", '{"card": 4111111111111111}')
        assert now.left.voiced == "It is [card number]."
        assert now.left.tools[0]["arguments"] == '{"card": "[card number]"}'


def test_a_tool_that_only_reads_is_not_left_but_the_call_is_not_at_rest(tmp_path: Path) -> None:
    effects = Effects("call-1")
    effects.only_reads("find")
    with scene(tmp_path, effects) as now:
        find, book = now.session.starts("find"), now.session.starts("book")
        assert [tool["name"] for tool in now.left.tools] == ["book"]
        now.session.executed(book)
        assert now.left.tools == []
        assert now.journal._progress.runs_tools
        now.session.executed(find)
        assert not now.journal._progress.runs_tools


async def test_a_call_is_not_at_rest_until_it_is_known_who_has_answered(tmp_path: Path) -> None:
    with scene(tmp_path) as now:
        for may_rest in (False, True):
            now.may_rest = may_rest
            async with now.journal.beating():
                await checkpoint()
            found = read_box(tmp_path / "7")
            assert found
            assert found.at_rest is may_rest


@pytest.mark.parametrize("is_done", [True, False])
async def test_a_run_that_outlives_its_cancelled_turn_is_left(
    tmp_path: Path, *, is_done: bool
) -> None:
    effects, may_end = Effects("call-1"), asyncio.Event()

    async def book(_: str) -> str:
        await may_end.wait()
        if not is_done:
            raise NotDoneError("refused")
        return "booked"

    with scene(tmp_path, effects) as now:
        call = now.session.starts("book", '{"at": "9"}')
        turn = asyncio.create_task(effects.once("book", {"at": "9"}, book))
        await checkpoint()
        turn.cancel()
        await asyncio.wait([turn])
        now.session.cancels(call)
        [left] = now.left.tools
        assert (left["name"], left["arguments"]) == ("book", '{"at": "9"}')
        may_end.set()
        await effects.aclose()
        now.session.says("user", "Hello?")
        assert [tool["name"] for tool in now.left.tools] == ["book"] * is_done
        if is_done:
            assert "booked" in await effects.once("book", {"at": "9"}, book)
            now.session.says("user", "Hello?")
            assert now.left.tools == []
