"""LiveKit's server dies in the middle of a call and is started again: the conversation goes on."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import expect

from agent.receptionist.queue import CallMark
from agent.survival.identity import ROOM_ID
from llm_router.testing.server import Script
from tests.calls.test_dead_process import NUMBERS, agents, assert_once, counting, stored
from tests.calls.test_page_trouble import LOST, ask
from tests.voice.replies import words
from tests.voice.stack import running_stack
from tests.voice.stack_processes import media_server_anew
from tests.voice.test_browser import SOON, browser

AWAY = 2.0
"""Seconds for which the server is away."""


@pytest.mark.thorough
async def test_a_sentence_is_finished_and_a_page_returns_to_its_conversation(
    tmp_path: Path,
) -> None:
    async with running_stack(tmp_path) as stack:
        name = stack.settings["AGENT_NAME"]
        await stack.behave(Script(words=words(NUMBERS)))
        profile = tmp_path / "browser"
        async with stack.call(microphone=False) as caller, browser(stack, profile, []) as page:
            await ask(page, NUMBERS)
            notice = page.get_by_test_id("notice")
            lost = asyncio.create_task(expect(notice).to_have_text(LOST, timeout=SOON))
            room = caller.room.name
            asked = await counting(caller)
            async with media_server_anew(stack, AWAY), stack.server() as livekit:
                await lost
                await caller.wait_until(lambda me: me.words(asked)[-1:] == ["twenty."], 60)
                await caller.wait_for_silence()
                assert_once(caller.words(asked))
                assert agents(caller) == [f"agent-{room}-1"]
                await expect(notice).to_be_hidden(timeout=SOON)
                await ask(page, NUMBERS)
                said = [one["role"] for one in stack.first.requests[-1].messages]
                assert said.count("user") == 2  # the agent remembers the first question
                rooms = dict(await livekit.rooms())
                assert [CallMark.read(rooms.pop(room), name), len(rooms)] == [None, 1]
                assert all(CallMark.read(each, name) for each in rooms.values())  # the page's own
                async with asyncio.timeout(10):
                    known = await livekit.room_id(room)
                    while (await stored(stack, room))[0].metadata[ROOM_ID] != known:  # noqa: ASYNC110  the call's log is written beside it
                        await asyncio.sleep(0.1)
