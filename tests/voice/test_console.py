"""A supervisor listens to a call in the console, answers it there, and gives it back."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import expect

from llm_router.testing.server import Script
from tests.console.seen import check_accessibility, picture
from tests.voice.caller import AUDIBLE, sentence
from tests.voice.replies import words
from tests.voice.stack import PHRASES, VoiceStack
from tests.voice.test_browser import SOON, browser, microphone

ANSWER = "We open at nine."
BACK = PHRASES.pick("supervision.back", "en", 0)
LOUD = "() => (document.querySelector('.supervise meter')?.value ?? 0) > 0.1"


@pytest.mark.thorough
async def test_a_supervisor_listens_takes_over_and_gives_back_in_the_browser(
    stack: VoiceStack, tmp_path: Path
) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    key = (await asyncio.to_thread(Path(stack.settings["ADMIN_KEY_FILE"]).read_text)).strip()
    console = f"http://127.0.0.1:{stack.ports.http_port}/ai-compute"
    async with (
        stack.call() as caller,
        browser(stack, tmp_path / "profile", microphone("my_bill", tmp_path)) as page,
    ):
        await page.goto(f"{console}/calls?state=agent")
        await page.get_by_label("API key").fill(key)
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("table").get_by_role("link").first.click()
        await page.get_by_role("button", name="Listen").click()
        await expect(page.get_by_text("You listen.")).to_be_visible()
        asked = await caller.say(sentence("what_time"))
        await page.wait_for_function(LOUD, timeout=SOON)
        assert await caller.wait_for_answer(asked) == ANSWER
        assert len(caller.room.remote_participants) == 1, "the caller sees the agent alone"
        await check_accessibility(page)
        await page.get_by_role("button", name="Stop").click()

        began = len(caller.frames)
        await page.get_by_role("button", name="Take over").click()
        await expect(page.get_by_text("You speak with the caller.")).to_be_visible(timeout=SOON)
        await caller.wait_until(
            lambda me: any(frame.rms > AUDIBLE for frame in me.frames[began:]), 30
        )
        await picture(page, "console-take-over")
        await page.get_by_role("button", name="Mute me").click()
        await expect(page.get_by_role("button", name="Speak again")).to_be_visible()

        await page.get_by_role("button", name="Give back to an agent").click()
        await expect(page.get_by_text("An agent answers again")).to_be_visible(timeout=SOON)
        await caller.wait_until(lambda me: BACK in me.transcript(by_agent=True), 30)
        await expect(page.get_by_role("button", name="Take over")).to_be_visible(timeout=SOON)
