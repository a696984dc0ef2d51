"""Voice in the console: a supervisor in a call, a draft of an assistant, and a chat."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from llm_router.testing.server import Script
from tests.console.seen import check_accessibility, picture
from tests.voice.caller import AUDIBLE, sentence
from tests.voice.replies import words
from tests.voice.stack import PHRASES, VoiceStack
from tests.voice.test_browser import SOON, browser, microphone

ANSWER = "We open at nine."
BACK = PHRASES.pick("supervision.back", "en", 0)
LOUD = "() => (document.querySelector('.supervise meter')?.value ?? 0) > 0.1"


async def sign_in(stack: VoiceStack, page: Page, path: str) -> None:
    key = (await asyncio.to_thread(Path(stack.settings["ADMIN_KEY_FILE"]).read_text)).strip()
    await page.goto(f"http://127.0.0.1:{stack.ports.http_port}/ai-compute/{path}")
    await page.get_by_label("API key").fill(key)
    await page.get_by_role("button", name="Sign in").click()


@pytest.mark.thorough
async def test_a_supervisor_listens_takes_over_and_gives_back_in_the_browser(
    stack: VoiceStack, tmp_path: Path
) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    async with (
        stack.call() as caller,
        browser(stack, tmp_path / "profile", microphone("my_bill", tmp_path)) as page,
    ):
        await sign_in(stack, page, "calls?state=agent")
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
        async with page.expect_event("dialog") as asking:
            await page.close(run_before_unload=True)
        await (await asking.value).dismiss()
        await page.get_by_role("button", name="Speak again").click()
        await expect(page.get_by_role("button", name="Mute me")).to_be_visible()

        await page.get_by_role("button", name="Give back to an agent").click()
        await expect(page.get_by_text("An agent answers again")).to_be_visible(timeout=SOON)
        await caller.wait_until(lambda me: BACK in me.transcript(by_agent=True), 30)
        await page.get_by_role("button", name="Take over").click(timeout=SOON)
        await expect(page.get_by_text("You speak with the caller.")).to_be_visible(timeout=SOON)
        page.on("dialog", lambda dialog: dialog.accept())
        await page.goto("about:blank")
        await caller.wait_until(lambda me: not me.room.remote_participants, 10)


@pytest.mark.thorough
async def test_a_draft_of_an_assistant_is_tried_by_voice_before_it_is_published(
    stack: VoiceStack, tmp_path: Path
) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    await stack.manage("POST", "/assistants", {"name": "desk", "instructions": "Published."})
    flags = microphone("what_time", tmp_path, is_repeated=True)
    async with browser(stack, tmp_path / "profile", flags) as page:
        await sign_in(stack, page, "assistants/desk")
        await page.get_by_label("Instructions", exact=True).fill("A draft.")
        await page.get_by_text("First words: as the settings say").click()
        await page.get_by_label("First words", exact=True).fill("The desk, hello!")
        await page.get_by_role("button", name="Voice on").click()
        talk = page.get_by_role("group", name="By voice")
        await expect(talk.get_by_text("The desk, hello!")).to_be_visible(timeout=SOON)
        await expect(talk.locator("li.user")).to_contain_text(
            "open", ignore_case=True, timeout=SOON
        )
        await expect(talk.get_by_text(ANSWER).first).to_be_visible(timeout=SOON)
        await check_accessibility(page)
        await picture(page, "console-assistant-voice")
        assert stack.first.requests[0].messages[0]["content"] == "A draft."
        await page.get_by_role("button", name="Voice off").click()
        await expect(page.get_by_role("button", name="Voice on")).to_be_visible()
        published = await stack.manage("GET", "/assistants/desk")
        assert (published["version"], published["instructions"]) == (1, "Published.")
    await stack.manage("DELETE", "/assistants/desk")


@pytest.mark.thorough
async def test_a_chat_goes_on_by_voice_with_its_model_and_keeps_what_was_said(
    stack: VoiceStack, tmp_path: Path
) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    first = await stack.manage(
        "POST",
        "/connections",
        {
            "name": "studio",
            "base_url": stack.spare.base_url,
            "model_name": stack.spare.model,
            "use_in_automation": True,
        },
    )
    flags = microphone("what_time", tmp_path, is_repeated=True)
    async with browser(stack, tmp_path / "profile", flags) as page:
        await sign_in(stack, page, "chat")
        await page.get_by_label("Ask", exact=True).select_option("studio")
        await page.get_by_label("Your message").fill("Hello there.")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text(ANSWER)).to_be_visible(timeout=SOON)
        await page.get_by_role("button", name="Voice on").click()
        talk = page.get_by_role("group", name="By voice")
        await expect(talk.locator("li.user")).to_contain_text(
            "open", ignore_case=True, timeout=SOON
        )
        await expect(talk.get_by_text(ANSWER).first).to_be_visible(timeout=SOON)
        await check_accessibility(page)
        await picture(page, "console-chat-voice")
        asked = [str(message["content"]) for message in stack.spare.requests[1].messages]
        assert [text for text in asked if text][:2] == ["Hello there.", ANSWER]
        assert stack.first.requests == []
        await page.get_by_role("button", name="Voice off").click()
        chat = page.get_by_role("region", name="Chat", exact=True)
        await expect(talk.locator("li")).to_have_count(0)
        await expect(chat.locator("li.user").nth(1)).to_contain_text(
            "open", ignore_case=True, timeout=SOON
        )
    await stack.manage("DELETE", f"/connections/{first['id']}")
