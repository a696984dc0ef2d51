"""Tests each state of the widget, without a call: axe finds no fault on any device, in either
scheme and either direction, and keys and small windows do as people expect.
"""

import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.pages import accessibility_faults
from tests.widget.gallery import (
    MAGNIFIED,
    PHONE,
    PICTURED,
    PICTURES,
    SMALL,
    WINDOW,
    Display,
    Scheme,
    build,
    opened,
    served,
    shown,
    states,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCHEMES: Sequence[Scheme] = ("light", "dark")
USUAL = [Display(), Display("ar", "dark", PHONE)]
DISPLAYS = [
    pytest.param(display, id=f"{language}, {scheme}, {window[0]} px", marks=marks)
    for language, scheme, window in itertools.product(("en", "ar"), SCHEMES, (WINDOW, PHONE))
    for display in [Display(language, scheme, window)]
    for marks in [() if display in USUAL else pytest.mark.thorough]
]
OUTSIDE = """
(widget) => {
  const box = widget.shadowRoot.querySelector("dialog");
  const outer = box.getBoundingClientRect();
  return [...box.querySelectorAll("*")]
    .filter((each) => each.checkVisibility() && getComputedStyle(each).position !== "absolute")
    .filter((each) => !each.closest("svg, .pb-hidden, .pb-wide"))
    .filter((each) => {
      const { left, right, width } = each.getBoundingClientRect();
      return width > 1 && (left < outer.left - 1 || right > outer.right + 1);
    })
    .map((each) => each.outerHTML.slice(0, 100));
}
"""
"""Lists the elements that stick out of the panel at a side."""
CUT_OFF = """
(widget) => {
  const box = widget.shadowRoot.querySelector("dialog");
  const outer = box.getBoundingClientRect();
  const kinds = "button, input, textarea, select, summary, a, [role=status]";
  return [...box.querySelectorAll(kinds)]
    .filter((each) => each.checkVisibility() && !each.closest("[inert], .pb-hidden"))
    .filter((each) => {
      each.scrollIntoView({ block: "nearest" });
      const { top, bottom, height } = each.getBoundingClientRect();
      return height > 0 && (top < outer.top - 1 || bottom > outer.bottom + 1);
    })
    .map((each) => each.outerHTML.slice(0, 100));
}
"""
"""Lists the controls of which a part cannot be scrolled into sight."""
MOVING = "document.querySelector('patchbay-widget').shadowRoot.getAnimations().length"
THEME = """
  patchbay-widget { --patchbay-accent: rgb(122, 31, 92); --patchbay-font: Georgia, serif; }
  patchbay-widget { --patchbay-accent-dark: rgb(240, 160, 210); --patchbay-ink: rgb(1, 2, 3); }
  patchbay-widget::part(button) { border-radius: 18px; }
  patchbay-widget::part(message) { outline: 2px solid rgb(9, 9, 9); }
"""
"""The example of docs/widget.md, with more of it."""
LOOKS = """
(widget) => {
  const style = (name) => getComputedStyle(widget.shadowRoot.querySelector(`[part=${name}]`));
  const parts = "button panel header conversation message talk input send".split(" ");
  return {
    accents: ["button", "talk"].map((name) => style(name).backgroundColor),
    font: style("message").fontFamily,
    ink: style("message").color,
    corner: style("button").borderRadius,
    outline: style("message").outlineColor,
    missing: parts.filter((name) => !widget.shadowRoot.querySelector(`[part=${name}]`)),
  };
}
"""
FOCUSED = "widget => widget.shadowRoot.activeElement?.id ?? null"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gallery() -> AsyncIterator[tuple[Browser, str]]:
    """A browser, and the address of the states."""
    build()
    with served() as address:
        async with opened() as browser:
            yield browser, address


def pictures() -> list[str]:
    return sorted(file.stem for file in PICTURES.glob("*.png"))


@pytest.mark.parametrize("display", DISPLAYS)
async def test_axe_finds_nothing_in_any_state(
    gallery: tuple[Browser, str], display: Display
) -> None:
    found: dict[str, Any] = {}
    for state in await states(*gallery):
        async with shown(*gallery, state, display) as page:
            if wrong := await accessibility_faults(page, "patchbay-widget"):
                found[state] = wrong
    assert found == {}


async def test_axe_finds_a_fault_that_there_is(gallery: tuple[Browser, str]) -> None:
    async with shown(*gallery, "typed", Display()) as page:
        unnamed = "widget => widget.shadowRoot.getElementById('send').removeAttribute('aria-label')"
        await page.locator("patchbay-widget").evaluate(unnamed)
        hidden = "widget => widget.shadowRoot.querySelector('.pb-send .pb-wide').remove()"
        await page.locator("patchbay-widget").evaluate(hidden)
        assert any(
            "button-name" in each for each in await accessibility_faults(page, "patchbay-widget")
        )


@pytest.mark.parametrize("language", ["de", pytest.param("ar", marks=pytest.mark.thorough)])
async def test_nothing_sticks_out_of_the_smallest_phone(
    gallery: tuple[Browser, str], language: str
) -> None:
    for state in await states(*gallery):
        async with shown(*gallery, state, Display(language, window=SMALL)) as page:
            found = await page.locator("patchbay-widget").evaluate(OUTSIDE)
            assert found == [], state


@pytest.mark.parametrize("language", ["fr", pytest.param("ar", marks=pytest.mark.thorough)])
async def test_a_page_magnified_four_times_has_every_control_within_reach(
    gallery: tuple[Browser, str], language: str
) -> None:
    for state in await states(*gallery):
        async with shown(*gallery, state, Display(language, window=MAGNIFIED)) as page:
            widget = page.locator("patchbay-widget")
            assert await widget.evaluate(CUT_OFF) == [], state
            assert await widget.evaluate(OUTSIDE) == [], state


async def test_a_printed_page_is_without_the_widget(gallery: tuple[Browser, str]) -> None:
    async with shown(*gallery, "closed", Display()) as page:
        await page.emulate_media(media="print")
        await expect(page.get_by_role("button", name="Talk to us")).to_be_hidden()


async def test_variables_and_parts_change_how_it_appears(gallery: tuple[Browser, str]) -> None:
    talks = {}
    for scheme in SCHEMES:
        async with shown(*gallery, "typed", Display(scheme=scheme)) as page:
            await page.add_style_tag(content=THEME)
            looks = await page.locator("patchbay-widget").evaluate(LOOKS)
            button, talks[scheme] = looks["accents"]
            assert (button, looks["corner"]) == ("rgb(122, 31, 92)", "18px")
            assert looks["font"] == "Georgia, serif"
            assert looks["outline"] == "rgb(9, 9, 9)"
            assert looks["missing"] == []
            assert (looks["ink"] == "rgb(1, 2, 3)") == (scheme == "light")
    assert talks == {"light": "rgb(122, 31, 92)", "dark": "rgb(240, 160, 210)"}


async def test_the_button_stands_at_the_side_that_the_page_names(
    gallery: tuple[Browser, str],
) -> None:
    for language, side, is_left in (
        ("en", "end", False),
        ("en", "start", True),
        ("ar", "start", False),
    ):
        async with shown(*gallery, "typed", Display(language)) as page:
            widget = page.locator("patchbay-widget")
            await widget.evaluate("(each, side) => each.setAttribute('side', side)", side)
            for part in ("button", "panel"):
                box = await widget.locator(f"[part={part}]").bounding_box()
                assert box
                assert (box["x"] + box["width"] / 2 < WINDOW[0] / 2) == is_left, (language, part)


async def test_nothing_moves_for_a_visitor_who_wants_less_movement(
    gallery: tuple[Browser, str],
) -> None:
    async with shown(*gallery, "queue", Display()) as page:
        assert await page.evaluate(MOVING) == 0
        await page.emulate_media(reduced_motion="no-preference")
        await page.wait_for_function(f"{MOVING} > 0")


@pytest.mark.parametrize("side", ["top", "bottom"])
async def test_on_a_phone_the_focus_stays_in_the_panel(
    gallery: tuple[Browser, str], side: str
) -> None:
    async with shown(*gallery, "typed", Display(window=PHONE)) as page:
        await page.evaluate("document.querySelector('main').append(document.createElement('a'))")
        await page.evaluate("document.querySelector('main a').href = '#x'")
        seen = []
        for _ in range(20):
            await page.keyboard.press("Tab" if side == "bottom" else "Shift+Tab")
            focused = await page.evaluate("document.activeElement.localName")
            seen.append(focused)
        assert "a" not in seen
        assert "patchbay-widget" in seen


async def test_the_focus_goes_from_the_words_to_the_controls_in_the_order_of_reading(
    gallery: tuple[Browser, str],
) -> None:
    async with shown(*gallery, "play", Display()) as page:
        widget = page.locator("patchbay-widget")
        await widget.evaluate("each => each.shadowRoot.getElementById('menu').focus()")
        order = []
        for _ in range(7):
            await page.keyboard.press("Tab")
            order.append(await widget.evaluate(FOCUSED))
    assert [each for each in order if each] == ["act", "talk", "end", "text", "send"]


async def test_escape_closes_the_choices_first_and_then_the_panel(
    gallery: tuple[Browser, str],
) -> None:
    async with shown(*gallery, "choices", Display()) as page:
        box = page.get_by_role("dialog")
        await page.get_by_test_id("microphone").focus()
        await page.keyboard.press("Escape")
        await expect(page.get_by_test_id("microphone")).to_be_hidden()
        await expect(box).to_be_visible()
        widget = page.locator("patchbay-widget")
        assert await widget.evaluate(FOCUSED) == "menu"
        await page.keyboard.press("Escape")
        await expect(box).to_be_hidden()
        part = "each => each.shadowRoot.activeElement.getAttribute('part')"
        assert await widget.evaluate(part) == "button"


async def test_the_keyboard_alone_deletes_the_conversation_or_has_second_thoughts(
    gallery: tuple[Browser, str],
) -> None:
    async with shown(*gallery, "choices", Display()) as page:
        question = page.get_by_role("alertdialog")
        for key in ("Escape", "Enter"):
            await page.get_by_test_id("menu").focus()
            if await page.get_by_test_id("forget").is_hidden():
                await page.keyboard.press("Enter")
            await page.get_by_test_id("forget").focus()
            await page.keyboard.press("Enter")
            await expect(question).to_be_visible()
            widget = page.locator("patchbay-widget")
            assert await widget.evaluate(FOCUSED) == "forget-not"
            await page.keyboard.press(key)
            await expect(question).to_be_hidden()
            assert await widget.evaluate(FOCUSED) == "menu"
            await expect(page.get_by_role("dialog", name="Talk to us")).to_be_visible()


@pytest.mark.parametrize("characters", ["にほん", "你好", "안녕"])
async def test_enter_that_ends_the_composition_of_characters_does_not_send(
    gallery: tuple[Browser, str], characters: str
) -> None:
    async with shown(*gallery, "typed", Display()) as page:
        await page.evaluate(
            """document.querySelector("patchbay-widget").shadowRoot.querySelector(".pb-form")
               .addEventListener("submit", () => { window.sent = (window.sent ?? 0) + 1; })"""
        )
        await page.get_by_test_id("text").focus()
        keyboard = await page.context.new_cdp_session(page)
        place = {"selectionStart": len(characters), "selectionEnd": len(characters)}
        await keyboard.send("Input.imeSetComposition", {"text": characters, **place})
        enter = {"key": "Enter", "code": "Enter", "text": "\r"}
        composing = {**enter, "windowsVirtualKeyCode": 229}
        await keyboard.send("Input.dispatchKeyEvent", {"type": "keyDown", **composing})
        assert await page.evaluate("window.sent ?? 0") == 0
        await keyboard.send("Input.insertText", {"text": characters})
        await expect(page.get_by_test_id("text")).to_have_value(characters)
        await page.keyboard.press("Enter")
        assert await page.evaluate("window.sent") == 1


async def test_a_phone_that_is_turned_keeps_the_panel_and_what_has_the_focus(
    gallery: tuple[Browser, str],
) -> None:
    async with shown(*gallery, "typed", Display(window=PHONE)) as page:
        modal = "each => each.shadowRoot.querySelector('dialog').matches(':modal')"
        widget = page.locator("patchbay-widget")
        await page.get_by_test_id("text").fill("half a wo")
        assert await widget.evaluate(modal)
        await page.set_viewport_size({"width": 900, "height": 700})
        await expect(page.get_by_test_id("text")).to_have_value("half a wo")
        await page.wait_for_function(f"!({modal})(document.querySelector('patchbay-widget'))")
        assert await widget.evaluate(FOCUSED) == "text"
        await expect(page.get_by_role("dialog")).to_be_visible()


async def test_each_state_of_the_pictures_has_one_in_the_documentation() -> None:
    assert pictures() == sorted(name for name, *_ in PICTURED)
