"""The widget in writing: over HTTP alone, after a reload, in a second tab, by voice and back."""

import re
from pathlib import Path

from playwright.async_api import Page, expect

from llm_router.testing.server import Script
from tests.calls.test_widget import ANSWER, PICTURES, ask, shop
from tests.voice.replies import words
from tests.voice.stack import VoiceStack
from tests.voice.test_browser import SOON, microphone

LARGE = "/widget/call-"
LATER = "Three of you pay thirty."
WRITE_MAIL = """() => new Promise((done) => {
    addEventListener("beforeunload", () => done(), { once: true });
    location.href = "mailto:us@shop.example";
})"""


async def open_panel(page: Page) -> None:
    await page.get_by_role("button", name="Talk to us").click()


async def stored(stack: VoiceStack) -> list[str]:
    """Returns the ids of the stored calls, the latest first."""
    return [call["id"] for call in (await stack.manage("GET", "/calls"))["items"]]


async def download(page: Page) -> str:
    """Saves the conversation as its visitor does, and returns the file's text."""
    await page.get_by_test_id("menu").click()
    async with page.expect_download() as downloading:
        await page.get_by_test_id("download").click()
    download = await downloading.value
    assert download.suggested_filename == "conversation.txt"
    return (await download.path()).read_text(encoding="utf-8")


async def forget(page: Page) -> None:
    """Deletes the conversation as its visitor does, with second thoughts at first."""
    menu, question = page.get_by_test_id("menu"), page.get_by_test_id("forget-question")
    await menu.click()
    await page.get_by_test_id("forget").click()
    await expect(question).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(question).to_be_hidden()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await menu.click()
    await page.get_by_test_id("forget").click()
    await page.get_by_test_id("forget-now").click()
    notice = page.get_by_test_id("notice")
    await expect(notice).to_have_text("The conversation is deleted.", timeout=SOON)


async def test_a_conversation_in_writing_lasts_and_moves_to_a_room_and_back(
    stack: VoiceStack, tmp_path: Path
) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    async with shop(stack, tmp_path, microphone("what_time", tmp_path)) as page:
        loaded: list[str] = []
        page.on("request", lambda request: loaded.append(request.url))
        await open_panel(page)
        await ask(page, "What is the fee?")
        assert not [url for url in loaded if LARGE in url]
        await page.reload()
        await open_panel(page)
        await expect(page.get_by_test_id("log").get_by_text("What is the fee?")).to_be_visible()
        another = await page.context.new_page()
        await another.goto(page.url)
        await open_panel(another)
        await ask(another, "And for two?")
        await expect(page.get_by_test_id("log").get_by_text("And for two?")).to_be_visible()
        await another.close()
        await page.get_by_test_id("talk").click()
        body = page.locator("patchbay-widget .patchbay")
        await expect(body).to_have_attribute("data-phase", "listening", timeout=SOON)
        PICTURES.mkdir(exist_ok=True)
        await page.screenshot(path=PICTURES / "widget-in-writing-and-aloud.png")
        await page.get_by_test_id("end").click()
        await stack.behave(Script(words=words(LATER)))
        await ask(page, "And for three?", LATER)
        history = str(stack.first.requests[-1].messages)
        assert "And for two?" in history
        assert "And for three?" in history
        await page.screenshot(path=PICTURES / "widget-in-writing.png")
        saved = await download(page)
        assert "Visitor: What is the fee?" in saved
        assert f"Assistant: {LATER}" in saved
        latest, *_ = await stored(stack)
        await forget(page)
        await page.reload()
        await open_panel(page)
        await expect(page.get_by_test_id("log").get_by_text("What is the fee?")).to_have_count(0)
        assert latest not in await stored(stack)


async def test_a_call_goes_on_after_a_reload_and_on_the_next_page(
    stack: VoiceStack, tmp_path: Path
) -> None:
    async with shop(stack, tmp_path, microphone("what_time", tmp_path)) as page:
        await open_panel(page)
        await page.get_by_test_id("talk").click()
        body = page.locator("patchbay-widget .patchbay")
        log = page.get_by_test_id("log")
        said = log.locator("[data-who=agent]").first
        await expect(said).to_be_visible(timeout=SOON)
        for address in (page.url, f"{page.url}?page=2"):
            await page.goto(address)
            await expect(body).to_have_attribute("data-microphone", "on", timeout=SOON)
            await expect(body).to_have_attribute(
                "data-phase", re.compile("listening|thinking|speaking"), timeout=SOON
            )
            await expect(said).to_be_visible()
        await page.get_by_test_id("end").click()
        await page.reload()
        await page.get_by_role("button", name="Talk to us").wait_for()
        await expect(page.get_by_role("dialog")).to_be_hidden()
        [latest, *_] = (await stack.manage("GET", "/calls"))["items"]
        assert latest["epoch"] == len(("press", "reload", "next page"))


async def test_a_link_to_an_email_address_ends_no_call(stack: VoiceStack, tmp_path: Path) -> None:
    async with shop(stack, tmp_path, microphone("what_time", tmp_path)) as page:
        await open_panel(page)
        await page.get_by_test_id("talk").click()
        said = page.get_by_test_id("log").locator("[data-who=agent]").first
        await expect(said).to_be_visible(timeout=SOON)
        await page.evaluate(WRITE_MAIL)
        await stack.behave(Script(words=words(LATER)))
        await ask(page, "And for three?", LATER)
        await expect(page.get_by_test_id("end")).to_be_visible()


async def test_a_visitor_who_has_only_spoken_saves_and_deletes_it(
    stack: VoiceStack, tmp_path: Path
) -> None:
    flags = microphone("what_time", tmp_path)
    async with shop(stack, tmp_path, flags, modes=["voice"]) as page:
        await open_panel(page)
        await page.get_by_test_id("talk").click()
        said = page.get_by_test_id("log").locator("[data-who=agent]")
        await expect(said.first).to_be_visible(timeout=SOON)
        await page.get_by_test_id("end").click()
        assert "Assistant: " in await download(page)
        latest, *_ = await stored(stack)
        await forget(page)
        await expect(said).to_have_count(0)
        assert latest not in await stored(stack)
