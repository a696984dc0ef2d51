"""Opens every page of the console in Chromium over a filled store, and watches it."""

import asyncio
import math
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, Page, Request, async_playwright

from bench.console.figures import Board, Key, PageFigures, Results, Visit
from bench.console.live import live_calls
from bench.console.stock import LONG, LONG_CALL, Stock
from bench.full_store.fill import ATTEMPTS_A_CALL, call_id, connection_id
from bench.report.command import Progress
from deploy import page as pages
from llm_router.clock import SystemClock
from tests.contracts.api_process import admin_key, serving
from tests.voice.test_browser import chromium

_CLOCK = SystemClock()
_SCRIPT = Path(__file__).with_name("seen.js")
_PATIENCE = 20.0
"""Seconds after which a page has not come at all."""
_QUIET = 0.4
"""Seconds without a request after which a page has what it asked for."""
_BETWEEN_KEYS = 0.02
_SETTLE = 3.0
"""Seconds that the board has to draw itself before it is watched."""
_TURNS = 200
"""Messages of the chat that is opened."""
_SETTINGS = {
    "MAX_CONNECTIONS": "100000",
    "USAGE_DAYS": "100",
    "CALL_DAYS": "0",
    "API_RATE_LIMIT": "100000/minute",
    "WORKER": "off",
}
_STREAM = "/stream"


@dataclass(frozen=True, slots=True)
class _Place:
    """A page: its title, its address, and what is there once it is drawn with its data."""

    title: str
    path: str
    shows: str


async def measure(
    stock: Stock, visits: int, calls: int, seconds: float, progress: Progress
) -> Results:
    pages.build()
    settings = {
        **_SETTINGS,
        "DATABASE_URL": stock.url,
        "ENCRYPTION_KEYS": stock.key,
        "CONSOLE_DIR": str(pages.CONSOLE / "dist"),
        "CALL_RETENTION": "transcript",
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        progress(f"{stock.dialect}: starting")
        async with serving(folder, **settings) as served, _browser() as context:
            key = admin_key(folder)
            first_page = await _sign_in(context, served.url, key)
            chat = await _add_what_pages_show(context, served.url)
            long = await _long_call(context, served.url)
            found = []
            for place in _places(stock, chat, long):
                progress(f"{stock.dialect}: {place.title}")
                seen = [await _visit(context, served.url, place) for _ in range(visits)]
                found.append(PageFigures(place.title, seen))
            progress(f"{stock.dialect}: live board")
            board = await _watch(context, served.url, stock, calls, seconds) if calls else None
    return Results(dialect=stock.dialect, pages=found, first_page=first_page, board=board)


def _places(stock: Stock, chat: str, long: str) -> Sequence[_Place]:
    used, with_words = connection_id(0), call_id(stock.amount.calls - 2)
    return (
        _Place("Connections", "/connections", "td.name a"),
        _Place("Connections, found by a word", "/connections?text=model-3", "td.name a"),
        _Place("Add a connection", "/connections#add", "dialog select"),
        _Place("One connection", f"/connections/{used}", "section table td .badge"),
        _Place("Calls", "/calls", ".rows td a"),
        _Place("Calls, found by what was said", "/calls?text=question 20", ".rows td a"),
        _Place("Calls with a failover", "/calls?role=failover", ".rows td a"),
        _Place("One call", f"/calls/{with_words}", f"ol.said li:nth-child({ATTEMPTS_A_CALL * 2})"),
        _Place("A call of many turns", f"/calls/{long}", f"ol.said li:nth-child({LONG})"),
        _Place("Settings of waits", "/waits", "dl.waits"),
        _Place("Usage, 24 hours", "/usage", ".rows td"),
        _Place("Usage, 30 days", "/usage?range=month", ".rows td"),
        _Place("Usage, 30 days by assistant", "/usage?range=month&by=assistant", ".rows td"),
        _Place("Chat", "/chat", ".studio textarea"),
        _Place("One chat", f"/chat?chat={chat}", f".studio li:nth-child({_TURNS})"),
        _Place("Assistants", "/assistants", ".rows td a"),
        _Place("One assistant", "/assistants/shop", "form textarea"),
        _Place("Sites", "/sites", ".rows td"),
        _Place("Telephone", "/phone", "pre.code"),
    )


@asynccontextmanager
async def _browser() -> AsyncIterator[BrowserContext]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield await browser.new_context(viewport={"width": 1280, "height": 900})
        finally:
            await browser.close()


async def _sign_in(context: BrowserContext, url: str, key: str) -> int:
    """Signs the browser in. Returns the bytes, compressed, of the first page that it loads."""
    answer = await context.request.post(f"{url}/api/session", data={"api_key": key})
    assert answer.status == 201, await answer.text()
    page = await context.new_page()
    await page.goto(f"{url}/ai-compute/connections")
    await page.locator("td.name a").first.wait_for()
    size: int = await page.evaluate(
        """() => ["navigation", "resource"]
          .flatMap((kind) => performance.getEntriesByType(kind))
          .filter(({ name }) => !new URL(name).pathname.startsWith("/api/"))
          .reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0)"""
    )
    await page.close()
    return size


async def _add_what_pages_show(context: BrowserContext, url: str) -> str:
    """Adds an assistant, a site and a long chat; returns the chat's id."""
    said = [
        {"role": "assistant" if turn % 2 else "user", "content": f"This is message {turn}."}
        for turn in range(_TURNS)
    ]
    bodies: Mapping[str, dict[str, Any]] = {
        "assistants": {"name": "shop", "instructions": "You work in a shop."},
        "sites": {"name": "shop", "origins": ["https://shop.example"], "assistant": "shop"},
        "chats": {"history": said},
    }
    made: dict[str, Any] = {}
    for kind, body in bodies.items():
        answer = await context.request.post(f"{url}/api/{kind}", data=body, headers={"Origin": url})
        assert answer.status == 201, await answer.text()
        made[kind] = await answer.json()
    chat: str = made["chats"]["id"]
    return chat


async def _long_call(context: BrowserContext, url: str) -> str:
    answer = await context.request.get(f"{url}/api/calls?room={LONG_CALL}")
    found: str = (await answer.json())["items"][0]["id"]
    return found


async def _visit(context: BrowserContext, url: str, place: _Place) -> Visit:
    """Opens a page and presses keys until it has all that it asked for, and shows it."""
    page = await _new_page(context, place.shows)
    requests = _Requests(page)
    await page.goto(f"{url}/ai-compute{place.path}", wait_until="commit")
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE), _pressing_keys(page):
            while not requests.are_done or await _shown(page) is None:
                await _CLOCK.sleep(_BETWEEN_KEYS)
    given_up = requests.open
    seen = await page.evaluate("benchSeen")
    entries = await page.evaluate(
        """() => performance.getEntriesByType("resource")
          .map(({ name, duration, responseEnd }) => [name, duration, responseEnd])"""
    )
    await page.close()
    return Visit(
        shown=math.inf if seen["shown"] is None else seen["shown"] / 1e3,
        requests=[
            (urlsplit(name).path, duration / 1e3, end / 1e3)
            for name, duration, end in entries
            if "/api/" in name and not urlsplit(name).path.endswith(_STREAM)
        ]
        + [(path, math.inf, math.inf) for path in given_up],
        keys=_keys(seen),
        tasks=[task / 1e3 for task in seen["tasks"]],
    )


async def _new_page(context: BrowserContext, shows: str) -> Page:
    page = await context.new_page()
    await page.add_init_script(f"({_SCRIPT.read_text(encoding='utf-8')})({shows!r})")
    return page


async def _shown(page: Page) -> float | None:
    shown: float | None = await page.evaluate("window.benchSeen?.shown || null")
    return shown


def _keys(seen: Mapping[str, Any]) -> Sequence[Key]:
    return [Key(pressed / 1e3, painted / 1e3) for pressed, painted in seen["keys"]]


class _Requests:
    """The requests of a page for data, but for streams."""

    def __init__(self, page: Page) -> None:
        self._open: set[Request] = set()
        self._last = _CLOCK.now()
        page.on("request", self._begin)
        page.on("requestfinished", self._end)
        page.on("requestfailed", self._end)

    @property
    def open(self) -> Sequence[str]:
        """The paths of those that are not answered yet."""
        return [urlsplit(request.url).path for request in self._open]

    @property
    def are_done(self) -> bool:
        return not self._open and _CLOCK.now() - self._last > _QUIET

    def _begin(self, request: Request) -> None:
        if not urlsplit(request.url).path.endswith(_STREAM):
            self._open.add(request)
            self._last = _CLOCK.now()

    def _end(self, request: Request) -> None:
        self._open.discard(request)
        self._last = _CLOCK.now()


@asynccontextmanager
async def _pressing_keys(page: Page, every: float = _BETWEEN_KEYS) -> AsyncIterator[None]:
    """Presses a key that changes nothing, again and again."""

    async def press() -> None:
        while True:
            await page.keyboard.press("Shift")
            await _CLOCK.sleep(every)

    pressing = asyncio.create_task(press(), name="keys")
    try:
        yield
    finally:
        pressing.cancel()
        with suppress(asyncio.CancelledError):
            await pressing


async def _watch(
    context: BrowserContext, url: str, stock: Stock, calls: int, seconds: float
) -> Board:
    """Opens the board while calls go on, and watches it for so many seconds."""
    async with live_calls(stock, calls) as live:
        page = await _new_page(context, ".rows td a")
        await page.goto(f"{url}/ai-compute/calls")
        await page.get_by_text(f"{calls} calls go on").wait_for()
        await _CLOCK.sleep(_SETTLE)
        before = await page.evaluate(
            "() => { benchSeen.tasks = []; benchSeen.keys = []; return benchSeen.drawn; }"
        )
        written, began = live.written, _CLOCK.now()
        async with _pressing_keys(page, every=0.1):
            await _CLOCK.sleep(seconds)
        took = _CLOCK.now() - began
        seen = await page.evaluate("benchSeen")
        await page.close()
    return Board(
        calls=calls,
        seconds=took,
        written=(live.written - written) / took,
        drawn=(seen["drawn"] - before) / took,
        tasks=[task / 1e3 for task in seen["tasks"]],
        keys=_keys(seen),
    )
