"""The receptionist speaks to callers whose agent is not there yet, and never beside it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
from playwright.async_api import expect

from llm_router.clock import SystemClock
from llm_router.testing.server import Script
from tests.voice.caller import AUDIBLE, Caller, call
from tests.voice.replies import words
from tests.voice.stack import GREETING, LOGS, PHRASES, VoiceStack, running_beside
from tests.voice.test_browser import SOON, browser

LINES = 3
ENGLISH = PHRASES.by_language["en"]
[BUSY], [CONNECT] = ENGLISH["reception.busy"], ENGLISH["reception.connect"]
[NOTED] = ENGLISH["reception.noted"]
[OFFER] = ENGLISH["reception.offer"]
FIRST, SECOND, *_ = ENGLISH["reception.place"]
OVERLAP = 0.1
"""Seconds by which frames of two tracks may arrive together: what is sent one after the other."""
_COMES_UP = 120.0


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def small(
    shared_stack: VoiceStack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[VoiceStack]:
    """A worker with one idle process, of a site with three lines."""
    folder = tmp_path_factory.mktemp("small")
    settings = {
        "WORKER_IDLE_PROCESSES": "1",
        "MAX_CALLS": str(LINES),
        "TRUSTED_PROXIES": "127.0.0.1",
    }
    async with running_beside(shared_stack, folder, **settings) as beside:
        await beside.behave(Script(words=words("We open at nine.")))
        log = LOGS / folder.name / "worker.log"
        async with asyncio.timeout(_COMES_UP):
            while "the receptionist has its" not in await asyncio.to_thread(log.read_text):
                await SystemClock().sleep(0.2)
        yield beside


@asynccontextmanager
async def visit(stack: VoiceStack, address: str) -> AsyncIterator[Caller]:
    """Calls from an address as the page does, without waiting for anybody."""
    async with httpx2.AsyncClient(headers={"X-Forwarded-For": address}) as client:
        answer = await client.post(f"http://127.0.0.1:{stack.ports.http_port}/token", json={})
    assert answer.status_code == 201, answer.text
    token = answer.json()["participant_token"]
    async with call(stack.livekit.url, token, waits_for_agent=False) as caller:
        yield caller


def audible(caller: Caller, speaker: str) -> list[float]:
    """Returns when the caller received sound of the speaker whose identity begins so."""
    frames = [
        frame
        for identity, frames in caller.by_speaker.items()
        if identity.startswith(speaker)
        for frame in frames
    ]
    return [frame.at for frame in frames if frame.rms > AUDIBLE]


async def test_callers_who_find_no_idle_process_are_answered_by_one_voice_at_a_time(
    small: VoiceStack,
) -> None:
    """The receptionist speaks where the machine needs long to start a process."""
    async with AsyncExitStack() as stack:
        coming = (stack.enter_async_context(visit(small, f"192.0.2.{n}")) for n in range(LINES))
        callers = await asyncio.gather(*coming)
        for caller in callers:
            await caller.wait_until(lambda me: me.transcript(by_agent=True) == GREETING, 60)
            await caller.wait_for_silence()
    received = [caller for caller in callers if audible(caller, "reception-")]
    assert len(received) < LINES
    for caller in received:
        assert audible(caller, "reception-")[-1] <= audible(caller, "agent-")[0] + OVERLAP


async def test_a_caller_in_the_queue_learns_their_place_and_is_connected(small: VoiceStack) -> None:
    mark = f"{small.settings['AGENT_NAME']} somebody"
    async with small.server() as livekit:
        for number in range(LINES):
            await livekit.open_room(f"busy-{number}", "none", join_within=120, metadata=mark)
        async with visit(small, "192.0.2.8") as first:
            await first.wait_until(lambda me: FIRST in me.transcript(by_agent=True), 60)
            async with visit(small, "192.0.2.9") as second:
                await second.wait_until(lambda me: SECOND in me.transcript(by_agent=True), 60)
                await livekit.close_room("busy-0")
                await first.wait_until(lambda me: GREETING in me.transcript(by_agent=True), 90)
                await first.wait_for_silence()
                await second.wait_until(lambda me: FIRST in me.transcript(by_agent=True), 60)
        for number in range(LINES):
            await livekit.close_room(f"busy-{number}")
    assert first.transcript(by_agent=True) == f"{BUSY} {FIRST} {OFFER} {CONNECT} {GREETING}"
    assert second.transcript(by_agent=True) == f"{BUSY} {SECOND} {OFFER} {FIRST}"
    assert audible(first, "reception-")[-1] <= audible(first, "agent-")[0] + OVERLAP


async def test_a_message_that_is_left_on_the_page_is_stored(
    small: VoiceStack, tmp_path: Path
) -> None:
    mark = f"{small.settings['AGENT_NAME']} somebody"
    async with small.server() as livekit, browser(small, tmp_path, []) as page:
        for number in range(LINES):
            await livekit.open_room(f"taken-{number}", "none", join_within=120, metadata=mark)
        await page.get_by_test_id("text").fill("Do you open on Saturday?")
        await page.get_by_test_id("send").click()
        await expect(page.get_by_test_id("place")).to_contain_text("You are next", timeout=SOON)
        await page.get_by_test_id("leave-open").click()
        await page.get_by_test_id("leave-text").fill("Please call me back.")
        await page.get_by_test_id("leave-contact").fill("555 0100")
        await page.get_by_test_id("leave-send").click()
        await expect(page.get_by_test_id("log")).to_contain_text(NOTED, timeout=SOON)
        await expect(page.get_by_test_id("leave-message")).to_be_hidden()
        await expect(page.get_by_test_id("notice")).to_contain_text("hung up", timeout=SOON)
        for number in range(LINES):
            await livekit.close_room(f"taken-{number}")
    [message] = (await small.manage("GET", "/messages"))["items"]
    assert (message["text"], message["contact"]) == ("Please call me back.", "555 0100")
