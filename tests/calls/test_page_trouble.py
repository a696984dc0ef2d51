"""The page shows a lost network, a replaced agent, a new call and a muted microphone."""

from pathlib import Path

from playwright.async_api import Page, expect

from llm_router.testing.server import Script
from tests.voice.replies import words
from tests.voice.stack import VoiceStack
from tests.voice.stack_processes import call_processes, kill, stopped_media_server
from tests.voice.test_browser import AUDIBLE, SOON, browser, microphone

ANSWER = "It is twelve euros."
LOST = "Connection lost, trying again…"


async def ask(page: Page, answer: str = ANSWER) -> None:
    """Types a question and waits for its answer, and for the note below it."""
    answers = page.get_by_test_id("log").locator("[data-who=agent]").filter(has_text=answer)
    before = await answers.count()
    await page.get_by_test_id("text").fill("What is the fee?")
    await page.get_by_test_id("send").click()
    await expect(answers).to_have_count(before + 1, timeout=SOON)
    await expect(answers.last.locator(".pb-note")).to_contain_text("first word", timeout=SOON)


async def test_a_lost_network_is_shown_and_so_is_its_return(
    stack: VoiceStack, tmp_path: Path
) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    async with browser(stack, tmp_path, []) as page:
        await ask(page)
        notice = page.get_by_test_id("notice")
        await page.context.set_offline(True)
        await expect(notice).to_have_text(LOST, timeout=SOON)
        await expect(page.get_by_test_id("state")).to_have_text("Reconnecting…")
        await page.context.set_offline(False)
        await expect(notice).to_be_hidden(timeout=SOON)
        with stopped_media_server(stack):
            await expect(notice).to_have_text(LOST, timeout=SOON)
        await expect(notice).to_be_hidden(timeout=SOON)
        await ask(page)


async def test_an_agent_that_was_killed_is_replaced_and_the_page_says_that_it_knows_nothing(
    stack: VoiceStack, tmp_path: Path
) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    others = call_processes(stack)
    async with browser(stack, tmp_path, []) as page:
        await ask(page)
        (process,) = call_processes(stack) - others
        kill(process)
        line = page.get_by_test_id("log").locator("[data-who=page]")
        await expect(line).to_contain_text("Another assistant has taken over", timeout=SOON)
        await expect(page.get_by_test_id("notice")).to_be_hidden(timeout=SOON)
        await ask(page)


async def test_a_call_that_is_started_again_has_a_line_above_it(
    stack: VoiceStack, tmp_path: Path
) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    async with browser(stack, tmp_path, []) as page:
        await ask(page)
        assert await page.evaluate("window.patchbay.peak") < AUDIBLE  # who types need not listen
        await page.get_by_test_id("end").click()
        await page.get_by_test_id("restart").click()
        await ask(page)
        shown = page.get_by_test_id("log").locator(".pb-message")
        order = await shown.evaluate_all("all => all.map(each => each.dataset.who)")
        assert order.count("page") == 1
        assert order.index("page") > order.index("agent")
        said = [message["role"] for message in stack.first.requests[-1].messages]
        assert said.count("user") == 1  # the agent has forgotten, as the line says


async def test_muted_looks_muted(stack: VoiceStack, tmp_path: Path) -> None:
    async with browser(stack, tmp_path, microphone("what_time", tmp_path)) as page:
        talk, state = page.get_by_test_id("talk"), page.get_by_test_id("state")
        await talk.click()
        await expect(talk).to_have_attribute("aria-pressed", "true", timeout=SOON)
        await expect(state).to_have_text("Listening", timeout=SOON)
        lit = await talk.evaluate("button => getComputedStyle(button).color")
        await talk.click()
        await expect(talk).to_have_attribute("aria-pressed", "false")
        await expect(state).to_have_text("You are muted", timeout=SOON)
        assert await talk.evaluate("button => getComputedStyle(button).color") != lit
        await expect(page.locator(".pb-slash")).to_be_visible()
        level = "document.getElementById('patchbay').style.getPropertyValue('--caller-level')"
        await page.wait_for_function(f"{level} === '0.00'")
        await talk.click()
        await expect(talk).to_have_attribute("aria-pressed", "true", timeout=SOON)
        await expect(page.locator(".pb-slash")).to_be_hidden()


async def test_the_page_has_one_main_landmark_with_everything_in_it(
    stack: VoiceStack, tmp_path: Path
) -> None:
    async with browser(stack, tmp_path, []) as page:
        await expect(page.get_by_role("main")).to_have_count(1)
        outside = "main => document.body.innerText.trim() === main.innerText.trim()"
        assert await page.get_by_role("main").evaluate(outside)
        await expect(page.get_by_role("heading", level=1)).to_have_count(1)
