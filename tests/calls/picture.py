"""Makes docs/page.png, the demo's shop with a conversation: `python -m tests.calls.picture`."""

import asyncio
import tempfile
from pathlib import Path

from playwright.async_api import Page, expect

from deploy import paths
from llm_router.testing.server import Script
from tests.voice.replies import words
from tests.voice.stack import VoiceStack, running_stack
from tests.voice.test_browser import SOON, browser

PICTURE = paths.ROOT / "docs" / "page.png"
_TALK = {
    "What time do you open on Saturday?": "We open at nine in the morning, and close at four.",
    "Can you mend a flat tyre then?": "Yes, while you wait. A new tube is fifteen euros.",
}


async def _ask(stack: VoiceStack, page: Page, question: str, answer: str) -> None:
    await stack.behave(Script(words=words(answer)))
    await page.get_by_test_id("text").fill(question)
    await page.get_by_test_id("send").click()
    shown = (
        page.get_by_test_id("log")
        .locator("[data-who=agent][data-final=true]")
        .filter(has_text=answer)
    )
    await expect(shown).to_be_visible(timeout=SOON)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            running_stack(Path(folder), DEMO="true") as stack,
            browser(stack, Path(folder) / "profile", []) as page,
        ):
            await page.set_viewport_size({"width": 1400, "height": 820})
            await page.get_by_role("button", name="Ask Harbour Street Bikes").click(timeout=SOON)
            for question, answer in _TALK.items():
                await _ask(stack, page, question, answer)
            await page.screenshot(path=PICTURE)


if __name__ == "__main__":
    asyncio.run(main())
