"""The widget on pages of other websites: one script tag, a strict policy, hostile styles."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Page, expect

from deploy import paths
from llm_router.testing.server import Script
from tests.calls.host_page import HOSTILE, host_page, strict_policy
from tests.voice.replies import words
from tests.voice.stack import VoiceStack
from tests.voice.test_browser import SOON, browser, microphone

TAG = '<script src="{server}/widget.js" data-site="{key}" async></script>'
ELSEWHERE = "https://elsewhere.example"
ANSWER = "It is twelve euros."
MARKED_UP = "<img src=x onerror=document.title='spoilt'> [a](javascript:alert(1)) <b>12</b>"
PICTURES = paths.ROOT / "test-artifacts"


def server_of(stack: VoiceStack) -> str:
    return f"http://127.0.0.1:{stack.ports.http_port}"


@asynccontextmanager
async def shop(
    stack: VoiceStack,
    folder: Path,
    flags: Sequence[str] = (),
    *,
    tag: str = TAG,
    head: str = "",
    style: str = "",
    origins: Sequence[str] = (),
    launch: Mapping[str, Any] | None = None,
    **site: Any,
) -> AsyncIterator[Page]:
    """Opens a shop's page with the widget's tag, under a strict policy, in a browser.

    `head`: more of the page, which has no policy then, with scripts of its own. `origins`: of its
    site; the page's own unless given. `launch`: more arguments for the browser. `site` has more
    fields of the site.
    """
    policy = "" if head else strict_policy(server_of(stack), stack.livekit.url)
    made = await stack.manage("POST", "/sites", {"name": "shop", "origins": [ELSEWHERE], **site})
    script = tag.format(server=server_of(stack), key=made["key"])
    try:
        with host_page(script, policy, style, head) as address:
            allowed = list(origins) or [address]
            await stack.manage("PATCH", "/sites/shop", {"origins": allowed})
            async with browser(stack, folder, [*flags], **(launch or {})) as page:
                await page.goto(address)
                yield page
    finally:
        await stack.manage("DELETE", "/sites/shop")


async def ask(page: Page, question: str = "What is the fee?", answer: str = ANSWER) -> None:
    await page.get_by_test_id("text").fill(question)
    await page.get_by_test_id("send").click()
    answers = page.get_by_test_id("log").locator("[data-who=agent]")
    await expect(answers.filter(has_text=answer).last).to_be_visible(timeout=SOON)


async def test_a_visitor_types_to_the_agent_on_a_page_with_a_strict_policy_and_hostile_styles(
    stack: VoiceStack, tmp_path: Path
) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    async with shop(stack, tmp_path, style=HOSTILE) as page:
        refused: list[str] = []
        page.on("console", lambda line: refused.append(line.text) if line.type == "error" else None)
        button = page.get_by_role("button", name="Talk to us")
        await expect(button).to_be_visible(timeout=SOON)
        assert await button.evaluate("each => each.getBoundingClientRect().width") == 60
        await button.click()
        await expect(page.get_by_role("dialog", name="Talk to us")).to_be_visible()
        await ask(page)
        await page.screenshot(path=PICTURES / "widget.png")
        size = "each => getComputedStyle(each).fontSize"
        assert await page.get_by_test_id("text").evaluate(size) == "16px"
        await page.get_by_test_id("text").press("Escape")
        await expect(page.get_by_role("dialog")).to_be_hidden()
        await button.click()
        await expect(page.get_by_test_id("log")).to_contain_text(ANSWER)
        assert refused == []


async def test_a_visitor_speaks_to_the_agent_through_the_widget(
    stack: VoiceStack, tmp_path: Path
) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    async with shop(stack, tmp_path, microphone("what_time", tmp_path)) as page:
        await page.get_by_role("button", name="Talk to us").click()
        await page.get_by_test_id("talk").click()
        answers = page.get_by_test_id("log").locator("[data-who=agent]")
        await expect(answers.filter(has_text=ANSWER)).to_be_visible(timeout=2 * SOON)


async def test_words_of_the_model_are_shown_as_text(stack: VoiceStack, tmp_path: Path) -> None:
    await stack.behave(Script(words=words(MARKED_UP)))
    async with shop(stack, tmp_path) as page:
        await page.get_by_role("button", name="Talk to us").click()
        await ask(page, "<script>document.title = 'spoilt'</script>", "12")
        assert await page.title() == "A shop"
        assert await page.get_by_test_id("log").locator("img, b, a, script").count() == 0


async def test_a_site_for_text_alone_shows_no_microphone(stack: VoiceStack, tmp_path: Path) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    async with shop(stack, tmp_path, modes=["text"]) as page:
        await page.get_by_role("button", name="Talk to us").click()
        await expect(page.get_by_test_id("talk")).to_be_hidden(timeout=SOON)
        await ask(page)


async def test_a_page_that_the_site_does_not_name_stays_as_it_is_and_the_console_says_why(
    stack: VoiceStack, tmp_path: Path
) -> None:
    async with shop(stack, tmp_path, origins=[ELSEWHERE]) as page:
        async with page.expect_console_message(lambda line: "no widget is shown" in line.text):
            await page.reload()
        assert await page.locator("patchbay-widget").count() == 0
        assert await page.locator("body > *").count() == 3  # title, paragraph and the tag itself


async def test_the_owner_of_the_page_opens_it_sends_words_and_learns_of_the_call(
    stack: VoiceStack, tmp_path: Path
) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    async with shop(stack, tmp_path) as page:
        await expect(page.get_by_role("button", name="Talk to us")).to_be_visible(timeout=SOON)
        await page.evaluate(
            """() => {
              window.phases = [];
              const note = (event) => window.phases.push(event.detail);
              document.addEventListener("patchbay-phase", note);
              document.querySelector("patchbay-widget").say("What is the fee?");
            }"""
        )
        answers = page.get_by_test_id("log").locator("[data-who=agent]")
        await expect(answers.filter(has_text=ANSWER)).to_be_visible(timeout=SOON)
        await page.wait_for_function("window.phases.at(-1) === 'idle'")
        assert await page.evaluate("window.phases[0]") == "thinking"
        # The page has no variable of the script's.
        assert await page.evaluate("Object.keys(window).filter((name) => name.length < 3)") == []
