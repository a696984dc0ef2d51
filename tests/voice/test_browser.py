"""The page in a real browser calls the real agent, with a recording for a microphone."""

import shutil
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.async_api import Page, async_playwright, expect

from deploy import paths
from llm_router.testing.server import Fault, Script
from tests.voice.caller import RATE, VOICES, sentence
from tests.voice.replies import words
from tests.voice.stack import VoiceStack

SPOKEN, TYPED = "We open at nine on Saturday.", "It is twelve euros."
PICTURE = paths.ROOT / "test-artifacts" / "page.png"
AUDIBLE = 0.02
"""Threshold for the highest RMS of the agent's sound, as the page measures it."""
SOON = 30_000
_BEFORE = 5
"""Silence before the recording's speech (s): the recording starts when the microphone is opened,
and the call must be established by then."""
_FLAGS = [
    "--no-sandbox",  # containers run as root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--autoplay-policy=no-user-gesture-required",
]


def microphone(name: str, folder: Path, *, is_repeated: bool = False) -> list[str]:
    """Returns the browser flags for a microphone that plays a sentence, once unless repeated."""
    recording = folder / "microphone.wav"
    silence = np.zeros(_BEFORE * RATE, np.int16)
    with wave.open(str(recording), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.concatenate([silence, sentence(name).spoken_by(VOICES[0])]).tobytes())
    return [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={recording}{'' if is_repeated else '%noloop'}",
    ]


def chromium() -> str:
    """Returns the system's Chromium."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.fail("Chromium is not installed: apt install chromium", pytrace=False)
    return found


@asynccontextmanager
async def browser(
    stack: VoiceStack, profile: Path, flags: list[str], **launch: Any
) -> AsyncIterator[Page]:
    """Opens the agent's page in the system's Chromium. `launch`: more arguments for its start."""
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            profile,
            executable_path=chromium(),
            headless=True,
            args=[*_FLAGS, *flags],
            viewport={"width": 900, "height": 900},
            **launch,
        )
        try:
            page = context.pages[0]
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.set_default_timeout(SOON)
            await page.goto(f"http://127.0.0.1:{stack.ports.http_port}/")
            yield page
            assert errors == []
        finally:
            await context.close()


async def test_a_visitor_speaks_and_types_and_gets_answers(
    stack: VoiceStack, tmp_path: Path
) -> None:
    await stack.behave(Script(words=words(SPOKEN), fault=Fault.EMPTY), Script(words=words(SPOKEN)))
    async with browser(stack, tmp_path, microphone("what_time", tmp_path)) as page:
        await page.get_by_test_id("talk").click()
        log = page.get_by_test_id("log")
        mine = log.locator("[data-who=caller][data-final=true]")
        await expect(mine.first).to_contain_text("open", timeout=SOON, ignore_case=True)
        answer = log.locator("[data-who=agent]").filter(has_text=SPOKEN)
        await expect(answer.locator(".pb-text")).to_have_text(SPOKEN, timeout=SOON)
        await expect(answer.locator(".pb-note")).to_contain_text("spare", timeout=SOON)
        assert await page.evaluate("window.patchbay.peak") > AUDIBLE

        await stack.behave(Script(words=words(TYPED)))
        await page.get_by_test_id("text").fill("What is the fee?")
        await page.get_by_test_id("send").click()
        await expect(mine.last).to_contain_text("What is the fee?", timeout=SOON)
        answer = log.locator("[data-who=agent]").filter(has_text=TYPED)
        await expect(answer.locator(".pb-note")).to_contain_text("first word", timeout=SOON)
        PICTURE.parent.mkdir(exist_ok=True)
        await page.screenshot(path=PICTURE)


@pytest.mark.thorough
async def test_a_visitor_without_a_microphone_sees_a_notice_and_types(
    stack: VoiceStack, tmp_path: Path
) -> None:
    await stack.behave(Script(words=words(TYPED)))
    async with browser(stack, tmp_path, []) as page:
        await page.get_by_test_id("talk").click()
        notice = page.get_by_test_id("notice")
        await expect(notice).to_contain_text("go on by typing", timeout=SOON)
        await page.get_by_test_id("text").fill("What is the fee?")
        await page.get_by_test_id("send").click()
        answer = page.get_by_test_id("log").locator("[data-who=agent]").filter(has_text=TYPED)
        await expect(answer.locator(".pb-text")).to_have_text(TYPED, timeout=SOON)
    assert stack.first.requests[-1].messages[-1]["content"] == "What is the fee?"
