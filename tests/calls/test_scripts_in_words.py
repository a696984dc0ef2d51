"""Words of the model, of the visitor and of attributes are shown as text, whatever is in them."""

from pathlib import Path

from playwright.async_api import Page, expect

from llm_router.testing.server import Script
from tests.calls.payloads import PAYLOADS
from tests.calls.test_widget import shop
from tests.voice.replies import words
from tests.voice.stack import VoiceStack
from tests.voice.test_browser import SOON

_SPOILT = "<script>window.runs = 0; window.spoilt = () => { window.runs += 1; };</script>"
_MESSAGE = 900
"""Characters of one message: fewer than the widget takes."""
_DANGEROUS = """() => {
  const found = [];
  const tags = "script, img, image, iframe, object, embed, video, audio, base, meta, link, math";
  const addresses = ["href", "src", "action", "xlink:href"];
  const isWrong = (link) => link !== null && !/^(https?:|mailto:|tel:)/.test(link);
  for (const { shadowRoot } of document.querySelectorAll("patchbay-widget")) {
    for (const each of shadowRoot?.querySelectorAll("*") ?? []) {
      const runs = each.getAttributeNames().some((name) => name.startsWith("on"));
      const leads = addresses.some((name) => isWrong(each.getAttribute(name)));
      if (each.matches(tags) || runs || leads) found.push(each.outerHTML);
    }
  }
  return found;
}"""
_WITH_ATTRIBUTES = """async (payloads) => {
  const first = document.querySelector("patchbay-widget");
  const shown = [];
  for (const payload of payloads) {
    const widget = document.createElement("patchbay-widget");
    for (const name of ["side", "language", "lang", "title", "rating", "class"])
      widget.setAttribute(name, payload);
    for (const name of ["label", "consent"]) widget.setAttribute(name, payload);
    for (const name of ["server", "site"]) widget.setAttribute(name, first.getAttribute(name));
    document.body.append(widget);
    while (!widget.shadowRoot) await new Promise((done) => setTimeout(done, 20));
    widget.open();
    const button = widget.shadowRoot.querySelector("[part=button]");
    const text = widget.shadowRoot.textContent;
    shown.push(button.getAttribute("aria-label") === payload && text.includes(payload));
    const nowhere = document.createElement("patchbay-widget");
    for (const name of ["server", "site"]) nowhere.setAttribute(name, payload);
    document.body.append(nowhere);
    widget.close();
  }
  return payloads.filter((_, index) => !shown[index]);
}"""


def plain(text: str) -> str:
    return " ".join(text.split())


def messages() -> list[str]:
    """Returns all payloads in as few messages as hold them."""
    made = [""]
    for payload in map(plain, PAYLOADS):
        if len(made[-1]) + len(payload) > _MESSAGE:
            made.append("")
        made[-1] = f"{made[-1]} {payload}".strip()
    return made


async def nothing_ran(page: Page) -> None:
    assert await page.evaluate("window.runs") == 0
    assert await page.evaluate(_DANGEROUS) == []
    assert await page.title() == "A shop"


async def test_scripts_of_a_visitor_and_of_the_model_are_shown_as_text(
    stack: VoiceStack, tmp_path: Path
) -> None:
    async with shop(stack, tmp_path, head=_SPOILT) as page:
        await page.get_by_role("button", name="Talk to us").click(timeout=SOON)
        log = page.get_by_test_id("log")
        for number, message in enumerate(messages()):
            answer = f"Answer {number}. {message} End {number}."
            await stack.behave(Script(words=words(answer)))
            await page.get_by_test_id("text").fill(message)
            await page.get_by_test_id("send").click()
            shown = log.locator("[data-who=agent]").filter(has_text=f"End {number}.")
            await expect(shown).to_be_visible(timeout=2 * SOON)
            said = plain(await log.locator("[data-who=caller] .pb-text").last.inner_text())
            assert said == message
            answered = plain(await shown.locator(".pb-text").inner_text())
            assert "spoilt()" in answered
            await nothing_ran(page)


async def test_scripts_in_attributes_are_shown_as_text(stack: VoiceStack, tmp_path: Path) -> None:
    async with shop(stack, tmp_path, head=_SPOILT) as page:
        await page.get_by_role("button", name="Talk to us").wait_for(timeout=SOON)
        assert await page.evaluate(_WITH_ATTRIBUTES, PAYLOADS) == []
        await page.wait_for_load_state("networkidle")
        await nothing_ran(page)
