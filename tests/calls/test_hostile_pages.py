"""The widget on pages that meddle with it, throw it away, or move on without a reload."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from llm_router.clock import SystemClock
from llm_router.testing.server import Script
from tests.calls.host_page import BODY_TRAPS, FROZEN, MEDDLER, OLD_LIBRARY
from tests.calls.test_widget import ANSWER, ask, server_of, shop
from tests.voice.replies import words
from tests.voice.stack import VoiceStack
from tests.voice.test_browser import SOON, microphone

LATER = "On Sunday it is ten."
GTM = """<script>
  // As a tag manager adds a script: it runs without document.currentScript, and without attributes.
  window.addEventListener("load", () => {{
    const tag = document.createElement("script");
    tag.text = `import("{server}/widget.js?site={key}&label=Ask us")`;
    const named = document.createElement("script");
    named.type = "text/plain";
    named.src = "{server}/widget.js?site={key}&label=Ask us";
    document.head.append(named, tag);
  }});
</script>"""
COVER = """() => {
  const cover = document.createElement("div");
  cover.style = "position: fixed; inset: 0; z-index: 2147483647; background: white";
  document.body.append(cover);
}"""
BUTTON_IS_ON_TOP = """() => {
  const widget = document.querySelector("patchbay-widget");
  const box = widget.shadowRoot.querySelector("[part=button]").getBoundingClientRect();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  return document.elementFromPoint(x, y) === widget && x > 800 && y > 800;
}"""
OLD_COPY = """<script>
  customElements.define("patchbay-widget", class extends HTMLElement {
    connectedCallback() { this.textContent = "an older widget"; }
  });
</script>"""
REFUSING = """<script>
  customElements.define = () => { throw new Error("no elements here"); };
</script>"""
OFFLINE_FETCH = "<script>window.fetch = () => { throw new Error('no requests here'); };</script>"


def button(page: Page) -> Locator:
    return page.get_by_role("button", name="Talk to us")


async def open_and_ask(page: Page) -> None:
    await button(page).click(timeout=SOON)
    await ask(page)


async def test_a_page_that_meddles_with_the_browsers_functions_and_covers_all(
    stack: VoiceStack, tmp_path: Path
) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    async with shop(stack, tmp_path, head=MEDDLER, style=BODY_TRAPS) as page:
        await expect(button(page)).to_be_visible(timeout=SOON)
        await page.evaluate(COVER)
        assert await page.evaluate(BUTTON_IS_ON_TOP)
        await open_and_ask(page)
        assert {"fetch", "define", "attachShadow"} <= {*await page.evaluate("window.seen")}


@pytest.mark.parametrize("head", [FROZEN, OLD_LIBRARY], ids=["frozen", "replaced"])
async def test_a_visitor_speaks_on_a_page_that_has_changed_the_browsers_objects(
    stack: VoiceStack, tmp_path: Path, head: str
) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    async with shop(stack, tmp_path, microphone("what_time", tmp_path), head=head) as page:
        await button(page).click(timeout=SOON)
        await page.get_by_test_id("talk").click()
        answers = page.get_by_test_id("log").locator("[data-who=agent]")
        await expect(answers.filter(has_text=ANSWER)).to_be_visible(timeout=2 * SOON)


async def test_a_tag_manager_adds_the_script(stack: VoiceStack, tmp_path: Path) -> None:
    async with shop(stack, tmp_path, tag=GTM, head="<meta name=x>") as page:
        await expect(page.get_by_role("button", name="Ask us")).to_be_visible(timeout=SOON)


@pytest.mark.parametrize(
    "head", [OLD_COPY, REFUSING, OFFLINE_FETCH], ids=["old", "define", "fetch"]
)
async def test_a_page_on_which_it_cannot_work_stays_as_it_is(
    stack: VoiceStack, tmp_path: Path, head: str
) -> None:
    async with shop(stack, tmp_path, head=head) as page:
        if head is OLD_COPY:
            await expect(page.get_by_text("an older widget")).to_be_visible(timeout=SOON)
            return
        async with page.expect_console_message(lambda line: "no widget is shown" in line.text):
            await page.reload()
        assert await page.locator("patchbay-widget").count() == 0


async def test_two_tags_make_one_widget(stack: VoiceStack, tmp_path: Path) -> None:
    tag = '<script src="{server}/widget.js" data-site="{key}" async></script>' * 3
    async with shop(stack, tmp_path, tag=tag) as page:
        await expect(button(page)).to_be_visible(timeout=SOON)
        await page.wait_for_load_state("networkidle")
        assert await page.locator("patchbay-widget").count() == 1


async def test_a_page_that_replaces_all_its_content_has_the_conversation_still(
    stack: VoiceStack, tmp_path: Path
) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    async with shop(stack, tmp_path, head="<meta name=x>") as page:
        await open_and_ask(page)
        await page.evaluate(
            """() => {
              history.pushState({}, "", "/next");
              document.body.innerHTML = "<h1>Next</h1><p>Coffee.</p>";
              const body = document.createElement("body");
              body.innerHTML = "<h1>Another</h1><patchbay-widget></patchbay-widget>";
              document.body = body;
            }"""
        )
        assert await page.locator("patchbay-widget").count() == 1
        await expect(page.get_by_test_id("log")).to_contain_text(ANSWER)
        await stack.behave(Script(words=words(LATER)))
        await ask(page, "And on Sunday?", LATER)
        said = [message["content"] for message in stack.first.requests[-1].messages]
        assert "What is the fee?" in said  # the call goes on


async def test_a_page_that_removes_it_ends_the_call_and_may_add_it_again(
    stack: VoiceStack, tmp_path: Path
) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    flags = microphone("what_time", tmp_path)
    async with shop(stack, tmp_path, flags, head="<meta name=x>") as page:
        await button(page).click(timeout=SOON)
        await page.get_by_test_id("talk").click()
        body = page.locator("patchbay-widget .patchbay")
        await expect(body).to_have_attribute("data-phase", "listening", timeout=SOON)
        await page.evaluate(
            """() => {
              window.phases = [];
              window.widget = document.querySelector("patchbay-widget");
              window.widget.addEventListener("patchbay-phase", (each) => phases.push(each.detail));
              window.widget.remove();
            }"""
        )
        await page.wait_for_function("window.phases.includes('ended')")
        assert await page.locator("patchbay-widget").count() == 0
        await page.evaluate("document.body.append(window.widget)")
        await ask(page, "Once more?")


async def test_a_page_that_is_written_anew_shows_it_anew(stack: VoiceStack, tmp_path: Path) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    async with shop(stack, tmp_path, head="<meta name=x>") as page:
        await expect(button(page)).to_be_visible(timeout=SOON)
        await page.evaluate(
            """() => {
              const tag = document.querySelector("script[data-site]").outerHTML;
              document.open();
              document.write("<!doctype html><title>Anew</title><p>Written.</p>" + tag);
              document.close();
            }"""
        )
        await open_and_ask(page)


async def test_a_page_from_the_memory_of_the_browser_works_when_it_is_shown_again(
    stack: VoiceStack, tmp_path: Path
) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    launch = {"ignore_default_args": ["--disable-back-forward-cache"]}
    async with shop(stack, tmp_path, head="<meta name=x>", launch=launch) as page:
        await expect(button(page)).to_be_visible(timeout=SOON)
        await page.evaluate(
            "addEventListener('pageshow', ({ persisted }) => { window.persisted = persisted; })"
        )
        await page.goto(f"{server_of(stack)}/site")
        await page.go_back(wait_until="commit")
        await page.wait_for_function("window.persisted === true")
        await open_and_ask(page)


async def test_a_visitor_without_a_network_learns_so_and_goes_on_once_it_is_back(
    stack: VoiceStack, tmp_path: Path
) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    async with shop(stack, tmp_path) as page:
        await button(page).click(timeout=SOON)
        await page.wait_for_load_state("networkidle")
        await page.context.set_offline(True)
        await page.get_by_test_id("text").fill("What is the fee?")
        await page.get_by_test_id("send").click()
        await expect(page.get_by_test_id("notice")).to_contain_text("online", timeout=SOON)
        await page.context.set_offline(False)
        await ask(page, "Are you there?")


async def test_a_site_stands_in_a_frame_of_its_own_pages_alone(
    stack: VoiceStack, tmp_path: Path
) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    address = "{server}/embed/{key}?label=Ask+the+shop&consent=Agree+to+everything&onfocus=alert()"
    frame = f'<iframe title="Ask" src="{address}" allow="microphone"></iframe>'
    style = "iframe { width: 400px; height: 600px }"
    async with shop(stack, tmp_path, tag=frame, head="<meta name=x>", style=style) as page:
        inside = page.frame_locator("iframe")
        panel = inside.get_by_role("region", name="Ask the shop")
        await expect(panel).to_be_visible(timeout=SOON)
        box = await panel.bounding_box()
        assert box
        assert (box["width"], box["height"]) == (400, 600)
        await inside.get_by_test_id("text").fill("What is the fee?")
        await inside.get_by_test_id("send").click()
        answers = inside.get_by_test_id("log").locator("[data-who=agent]")
        await expect(answers.filter(has_text=ANSWER).last).to_be_visible(timeout=SOON)
        await expect(inside.get_by_text("Agree to everything")).to_have_count(0)
        await page.reload()
        await expect(inside.get_by_text("What is the fee?")).to_be_visible(timeout=SOON)
        await stack.manage("PATCH", "/sites/shop", {"origins": ["https://elsewhere.example"]})
        source = await page.locator("iframe").get_attribute("src")
        assert source
        async with asyncio.timeout(30):  # sites are remembered for some seconds
            while page.url.rstrip("/") in await policy_of(page, source):
                await SystemClock().sleep(0.2)
        async with page.expect_console_message(lambda line: "frame-ancestors" in line.text):
            await page.reload()


async def policy_of(page: Page, address: str) -> str:
    return (await page.request.get(address)).headers["content-security-policy"]
