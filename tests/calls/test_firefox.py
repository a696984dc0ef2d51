"""The widget in Debian's Firefox: a visitor types, and speaks."""

from pathlib import Path

import pytest

from llm_router.testing.server import Script
from tests.calls.firefox import firefox
from tests.calls.host_page import HOSTILE, host_page, strict_policy
from tests.calls.test_widget import ANSWER, ELSEWHERE, TAG, server_of
from tests.voice.replies import words
from tests.voice.stack import GREETING, VoiceStack

pytestmark = pytest.mark.thorough

FIND = "document.querySelector('patchbay-widget').shadowRoot.querySelector"
TEXT = "document.querySelector('patchbay-widget').shadowRoot.textContent"


async def test_a_visitor_types_and_speaks_in_firefox(stack: VoiceStack, tmp_path: Path) -> None:
    await stack.behave(Script(words=words(ANSWER)))
    policy = strict_policy(server_of(stack), stack.livekit.url)
    made = await stack.manage("POST", "/sites", {"name": "fox", "origins": [ELSEWHERE]})
    tag = TAG.format(server=server_of(stack), key=made["key"])
    try:
        with host_page(tag, policy, HOSTILE) as address:
            await stack.manage("PATCH", "/sites/fox", {"origins": [address]})
            async with firefox(tmp_path) as page:
                await page.goto(address)
                await page.wait_for("document.querySelector('patchbay-widget')?.shadowRoot")
                await page.evaluate(
                    "document.querySelector('patchbay-widget').say('What is the fee?')"
                )
                await page.wait_for(f"{TEXT}.includes('{ANSWER}')")
                await page.wait_for(f"{FIND}('.patchbay').dataset.phase === 'idle'")

                await page.evaluate(f"{FIND}('#talk').click()")
                await page.wait_for(f"{FIND}('.patchbay').dataset.microphone === 'on'")
                await page.wait_for(f"{TEXT}.split('{GREETING}').length > 1")
                refused = [line for line in page.console if "favicon" not in line]
                assert refused == []
    finally:
        await stack.manage("DELETE", "/sites/fox")
