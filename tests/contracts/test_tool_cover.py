"""A slow tool is covered by speech, which is part of no history."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast

import pytest
from livekit import rtc
from livekit.agents import AgentSession, function_tool

from agent.assistant import Assistant
from agent.filler import FillerRule
from agent.toolbox.cover import ToolCover
from llm_router.routing.phrases import Phrases
from llm_router.testing import ManualClock
from llm_router.testing.server import FaultyServer, Script
from llm_router.types import ToolCall
from tests.contracts.livekit_asking import opened, reply_of
from tests.contracts.voiced import ClickTTS, voiced

PHRASES = Phrases({"en": {"filler.late": ["One moment."], "filler.very_late": ["Nearly there."]}})
ANSWER = "It is on its way."


class SlowTool:
    """A tool that ends once a phrase has been said, or at once without one to wait for."""

    def __init__(self, until: str = "") -> None:
        self.until = until
        self.said: list[str] = []
        self.began = asyncio.Event()

    async def run(self) -> str:
        """Finds an order, wherever it may be."""
        self.began.set()
        while self.until and self.until not in self.said:
            await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        return "on its way"


@asynccontextmanager
async def calling(
    slow: SlowTool, after: float, says: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[AgentSession[None], FaultyServer]]:
    async with opened("http", Script()) as (model, servers):

        def script(number: int) -> Script:
            if servers[0].requests[number].messages[-1]["role"] == "user":
                return Script(words=[], tool_calls=[ToolCall("c1", "find_order", "{}")])
            return Script(words=[ANSWER])

        await servers[0].behave(script)
        agent = Assistant(
            instructions="Be brief.",
            phrases=PHRASES,
            language="en",
            filler_after=after,
            greeting="Hello.",
            tools=[function_tool(slow.run, name="find_order")],
            tool_phrases=says,
        )
        async with voiced(model, agent) as session:
            assert isinstance(session.tts, ClickTTS)
            slow.said = session.tts.said
            yield session, servers[0]


async def test_a_slow_tool_is_covered_by_its_own_phrase() -> None:
    slow = SlowTool(until="I am asking the warehouse.")
    async with calling(slow, 0.05, {"find_order": slow.until}) as (session, server):
        assert await reply_of(session, "Where is my order?") == ANSWER
        assert slow.said[-2:] == [slow.until, ANSWER]
        assert slow.until not in str(server.requests[-1].messages)


async def test_a_phrase_that_came_with_a_tools_server_after_the_start_covers_it() -> None:
    slow, says = SlowTool(until="I am asking the warehouse."), dict[str, str]()
    async with calling(slow, 0.05, says) as (session, _):
        says["find_order"] = slow.until
        assert await reply_of(session, "Where is my order?") == ANSWER
        assert slow.said[-2:] == [slow.until, ANSWER]


async def test_a_tool_without_a_phrase_is_covered_by_a_filler() -> None:
    slow = SlowTool(until="One moment.")
    async with calling(slow, 0.05) as (session, _):
        assert await reply_of(session, "Where is my order?") == ANSWER


@pytest.mark.parametrize(
    ("says", "running", "said"),
    [
        ({}, ["ask"], True),
        ({"ask": ""}, ["ask"], False),
        ({"ask": ""}, ["ask", "find_order"], False),
        ({"ask": "", "find_order": "I am asking."}, ["find_order", "ask"], False),
    ],
)
def test_a_tool_that_waits_for_the_caller_is_not_covered_nor_what_runs_beside_it(
    says: Mapping[str, str], running: Sequence[str], said: bool
) -> None:
    clock, phrases = ManualClock(), list[str]()

    async def scene() -> None:
        session = rtc.EventEmitter[str]()
        silent = {"agent_state": "thinking", "user_state": "listening"}

        async def play() -> None:
            """Plays a phrase in no time."""

        def say(phrase: str, **_: object) -> object:
            phrases.append(phrase)
            return SimpleNamespace(wait_for_playout=play)

        vars(session).update(silent, say=say)
        cover = ToolCover(FillerRule(PHRASES, "en"), says, 1.2, clock)
        cover.attach(cast("AgentSession[None]", session))
        for name in running:
            call = SimpleNamespace(call_id=name, name=name)
            update = SimpleNamespace(type="tool_call_started", function_call=call)
            session.emit("tool_execution_updated", SimpleNamespace(update=update))
        await clock.sleep(30)
        await cover.aclose()

    clock.run(scene())
    assert bool(phrases) == said


async def test_a_fast_tool_is_covered_by_nothing() -> None:
    slow = SlowTool()
    async with calling(slow, 3600) as (session, _):
        assert await reply_of(session, "Where is my order?") == ANSWER
        assert slow.said == ["Hello.", ANSWER]


async def test_a_call_that_ends_during_a_tool_is_covered_no_more() -> None:
    slow = SlowTool(until="One moment.")
    async with calling(slow, 3600) as (session, _):
        asking: asyncio.Future[object] = asyncio.ensure_future(
            session.run(user_input="Where is my order?")
        )
        await slow.began.wait()
        slow.until = ""
        await asking
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "tool cover"]
