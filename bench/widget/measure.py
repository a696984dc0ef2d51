"""Has visitors type and speak on a shop's page in Chromium, and many of them at once."""

import asyncio
import math
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from gzip import compress
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, Route, async_playwright

from agent.livekit_server import LiveKitServer
from bench.report.command import Progress
from bench.report.processes import memory_of
from bench.widget.figures import Crowd, Flood, Results, Waits
from bench.widget.typists import Shop, type_at_once
from deploy import page as web_page
from llm_router.testing.server import Script
from tests.attacks.calls.flood import flood
from tests.calls.host_page import host_page
from tests.calls.test_widget import TAG, server_of
from tests.voice.stack import VoiceStack, running_stack
from tests.voice.stack_processes import page_process
from tests.voice.test_browser import browser, microphone

MODEL_SECONDS = 0.15
_QUESTION = "What is the fee?"
_MESSAGES = 3
"""Typed messages of a visit."""
_PATIENCE = 20_000
"""Milliseconds after which a visitor has waited in vain."""
_SETTINGS = {
    "TRUSTED_PROXIES": "127.0.0.1",
    "CALL_RATE_LIMIT": "100000/day",
    "TOKEN_RATE_LIMIT": "100000/minute",
    "MAX_CALLS": "0",
}
_FLOODED = {"TRUSTED_PROXIES": "127.0.0.1", "WORKER": "off", "TOKEN_RATE_LIMIT": "20/minute"}
_READ = """([question, answer, patience]) => new Promise((done) => {
  const widget = document.querySelector("patchbay-widget");
  const log = widget.shadowRoot.querySelector("#log");
  const began = performance.now();
  const note = () => {
    if (!log.textContent.includes(answer)) return;
    seen.disconnect();
    done((performance.now() - began) / 1000);
  };
  const seen = new MutationObserver(note);
  seen.observe(log, { childList: true, subtree: true, characterData: true });
  setTimeout(() => done(null), patience);
  widget.say(question);
})"""
_LISTEN = """(() => {
  const Real = window.RTCPeerConnection;
  window.soundAt = null;
  const listen = (track) => {
    const context = new AudioContext();
    const meter = context.createAnalyser();
    context.createMediaStreamSource(new MediaStream([track])).connect(meter);
    const samples = new Float32Array(meter.fftSize);
    const timer = setInterval(() => {
      meter.getFloatTimeDomainData(samples);
      if (!samples.some((each) => Math.abs(each) > 0.02)) return;
      window.soundAt ??= performance.now();
      clearInterval(timer);
    }, 5);
  };
  window.RTCPeerConnection = class extends Real {
    constructor(...given) {
      super(...given);
      this.addEventListener("track", ({ track }) => track.kind === "audio" && listen(track));
    }
  };
})()"""
_HEAR = """(patience) => new Promise((done) => {
  window.soundAt = null;
  const began = performance.now();
  document.querySelector("patchbay-widget").shadowRoot.querySelector("#talk").click();
  const timer = setInterval(() => window.soundAt && end((window.soundAt - began) / 1000), 10);
  const end = (value) => { clearInterval(timer); done(value); };
  setTimeout(() => end(null), patience);
})"""
_FORGET = "localStorage.clear(); sessionStorage.clear();"


async def measure(visits: int, crowd: int, requests: int, progress: Progress) -> Results:
    progress("starting")
    async with _stack(**_SETTINGS) as stack, _shop(stack) as shop:
        with tempfile.TemporaryDirectory() as folder:
            flags = microphone("what_time", Path(folder))
            async with browser(stack, Path(folder) / "profile", flags) as page:
                await page.add_init_script(_LISTEN)
                typed = await _typed(stack, page, shop.origin, visits, progress)
                voice = await _voice(page, shop.origin, visits, progress)
        many = await _crowd(stack, shop, crowd, progress) if crowd else None
    flooded = await _flood(requests, progress) if requests else None
    return Results(typed=typed, voice=voice, crowd=many, flood=flooded, sizes=_sizes())


@asynccontextmanager
async def _stack(**settings: str) -> AsyncIterator[VoiceStack]:
    with tempfile.TemporaryDirectory() as folder:
        async with running_stack(Path(folder), **settings) as stack:
            yield stack


@asynccontextmanager
async def _shop(stack: VoiceStack) -> AsyncIterator[Shop]:
    """Serves a page with the widget."""
    site = {"name": "bench", "origins": ["https://elsewhere.example"]}
    key, server = (await stack.manage("POST", "/sites", site))["key"], server_of(stack)
    with host_page(TAG.format(server=server, key=key)) as address:
        await stack.manage("PATCH", "/sites/bench", {"origins": [address]})
        yield Shop(server=server, key=key, origin=address)


async def _visit(page: Page, address: str) -> None:
    """Opens the page, and the panel, as a new visitor."""
    await page.goto(address)
    await page.evaluate(_FORGET)
    await page.goto(address)
    await page.get_by_role("button", name="Talk to us").click()
    await page.wait_for_load_state("networkidle")


async def _read(stack: VoiceStack, page: Page, number: int) -> float:
    answer = f"Answer{number}"
    await stack.behave(Script(words=[answer, " it", " is", "."], first_token_after=MODEL_SECONDS))
    waited = _seconds(await page.evaluate(_READ, [f"Question {number}?", answer, _PATIENCE]))
    replies = page.get_by_test_id("log").locator("[data-who=agent][data-final=true]")
    await replies.filter(has_text=answer).wait_for(timeout=_PATIENCE)
    return waited


def _seconds(waited: Any) -> float:
    return math.inf if waited is None else float(waited)


async def _typed(
    stack: VoiceStack, page: Page, address: str, visits: int, progress: Progress
) -> Sequence[Waits]:
    first: list[float] = []
    later: list[float] = []
    for visit in range(visits):
        progress(f"typed: visit {visit + 1} of {visits}")
        await _visit(page, address)
        for message in range(_MESSAGES):
            waited = await _read(stack, page, visit * _MESSAGES + message)
            (later if message else first).append(waited)
    return [
        Waits(title="typed, first message of a visit", times=first),
        Waits(title="typed, later message", times=later),
    ]


async def _voice(page: Page, address: str, visits: int, progress: Progress) -> Waits:
    times: list[float] = []
    for visit in range(visits):
        progress(f"voice: visit {visit + 1} of {visits}")
        await _visit(page, address)
        times.append(_seconds(await page.evaluate(_HEAR, _PATIENCE)))
    return Waits(title="voice, from the press to the first sound", times=times)


async def _crowd(stack: VoiceStack, shop: Shop, number: int, progress: Progress) -> Crowd:
    """Has so many visitors type at the same moment: from a program, and then each in a browser
    profile of their own, all of which share the machine with the server.
    """
    await stack.behave(Script(words=["Answer", " it", " is", "."], first_token_after=MODEL_SECONDS))
    progress(f"{number} type at once, without a browser")
    await type_at_once(shop, 1, _QUESTION, "Answer")  # what the first one waits for is no crowd's
    before, rooms = memory_of(page_process(stack)).own, await _rooms(stack)
    alone = await type_at_once(shop, number, _QUESTION, "Answer")
    memory = (memory_of(page_process(stack)).own - before) / number
    async with AsyncExitStack() as closing:
        playwright = await closing.enter_async_context(async_playwright())
        chromium = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        closing.push_async_callback(chromium.close)
        pages = [await _page(chromium, shop.origin, each, progress) for each in range(number)]
        progress(f"{number} type at once, each in a page")
        asked = [_QUESTION, "Answer", _PATIENCE]
        read = await asyncio.gather(*(page.evaluate(_READ, asked) for page in pages))
        jobs = len(await _rooms(stack) - rooms)
    waits = Waits(title=f"typed, {number} visitors at once", times=alone)
    in_pages = Waits(
        title=f"the same in {number} pages of Chromium", times=[_seconds(one) for one in read]
    )
    return Crowd(waits=waits, in_pages=in_pages, jobs=jobs, memory=memory)


async def _page(chromium: Browser, address: str, number: int, progress: Progress) -> Page:
    """Opens a page of a visitor with an address of their own: each has its limits."""
    progress(f"opening page {number + 1}")
    page = await (await chromium.new_context()).new_page()

    async def from_elsewhere(route: Route) -> None:
        own = {"x-forwarded-for": f"198.51.100.{number}"}
        await route.continue_(headers={**route.request.headers, **own})

    await page.route("**/api/visitor/**", from_elsewhere)
    await page.goto(address)
    await page.get_by_role("button", name="Talk to us").wait_for()
    return page


async def _rooms(stack: VoiceStack) -> set[str]:
    async with LiveKitServer(stack.livekit.url, stack.livekit.key, stack.livekit.secret) as server:
        return set(await server.rooms())


async def _flood(requests: int, progress: Progress) -> Flood:
    progress(f"{requests} requests for tokens")
    async with _stack(**_FLOODED) as stack:
        site = {"name": "bench", "origins": ["https://shop.example"]}
        made = await stack.manage("POST", "/sites", site)
        began = time.monotonic()
        flooded = await flood(stack, made["key"], requests)
        took, rooms = time.monotonic() - began, len(await _rooms(stack))
    return Flood(
        answers=flooded.answers,
        page=[seconds if status == 200 else math.inf for status, seconds in flooded.page],
        rooms=rooms,
        seconds=took,
    )


def _sizes() -> dict[str, int]:
    """Returns the bytes (gzip) of the built files, by the moment at which they are loaded."""
    dist = web_page.SOURCE / "dist"

    def size(pattern: str) -> int:
        return sum(len(compress(file.read_bytes(), 9)) for file in dist.glob(pattern))

    call = size("widget/call-*.js")
    others = call + size("widget/embed.js") + size("widget/[a-z][a-z]-*.js")
    return {
        "at once": size("widget.js"),
        "with the button": size("widget/*.js") - others,
        "with the first call": call,
    }
