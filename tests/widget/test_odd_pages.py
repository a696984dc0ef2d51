"""The tag on pages that are old, strict or odd, and odd words of a visitor's.

No agent runs: a small server of the test's own answers as the agent's does. How the widget works
with the real one on hostile pages is tested in tests/calls.
"""

import json
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Frame, Page, expect

from deploy import page as pages
from tests.calls.host_page import FROZEN, OLD_LIBRARY
from tests.pages import serving
from tests.widget.gallery import opened

pytestmark = pytest.mark.asyncio(loop_scope="module")

TAG = '<script src="{server}/widget.js" data-site="site_1" async></script>'
LONGEST = 2_000
"""Characters that the server takes, as the agent's does by default."""
A_DAY_BEHIND = """<script>
  const now = Date.now;
  Date.now = () => now() - 86_400_000;
</script>"""
MARKS = """<script src="{server}/widget.js?ver=6.4" data-site="site_1" data-1="x"
  data-style="color: red" data-hidden data-onclick="spoilt()" data-class="lazy" async></script>"""
LATER = """<script>
  window.addEventListener("load", () => {
    const tag = document.createElement("script");
    tag.src = "{server}/widget.js?site=site_1";
    document.head.append(tag);
  });
</script>"""
NOTHING_BUT = "default-src 'none'; connect-src {server}; script-src"
PAGES: Mapping[str, tuple[str, str]] = {
    "frozen objects": (FROZEN, TAG),
    "an old library": (OLD_LIBRARY, TAG),
    "a clock that is a day behind": (A_DAY_BEHIND, TAG),
    "another base": ('<base href="https://elsewhere.invalid/x/">', TAG),
    "in the head, not async": (TAG.replace(" async", ""), ""),
    "as a module": ("", TAG.replace("<script", '<script type="module"')),
    "added later": ("", LATER),
    "marks of others": ("", MARKS),
}
"""The head of each page, and its tag."""
SOON = 20_000


END = 'event: end\ndata: {"state": "text"}\n\n'


class Conversation:
    """The conversation that the server has: its items as events, and what visitors have said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.events: list[str] = []
        self.is_held = False
        """Whether the next reply is written until another message comes, which is refused."""
        self.writing = threading.Lock()
        self.is_asked_meanwhile = threading.Event()

    def add(self, role: str, text: str, name: str = "") -> str:
        """Adds an item and returns its event."""
        number = len(self.events) + 1
        data = json.dumps({"number": number, "id": name, "role": role, "text": text})
        self.events.append(f"id: {number}.0\nevent: item\ndata: {data}\n\n")
        return self.events[-1]


class _Server(SimpleHTTPRequestHandler):
    """Serves the built widget, and answers a visitor's requests from any origin."""

    def __init__(self, *given: Any, conversation: Conversation) -> None:
        self.conversation = conversation
        super().__init__(*given, directory=str(pages.SOURCE / "dist"))

    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Allow-Headers", "*, authorization")
        self.send_header("Access-Control-Allow-Methods", "*")
        super().end_headers()

    def do_OPTIONS(self) -> None:
        self._answer(204, "")

    def do_GET(self) -> None:
        if self.path.startswith("/site"):
            self._answer(200, json.dumps({"modes": ["text"], "consent": ""}))
        elif self.path.startswith("/api"):
            place = int(float(self.headers.get("Last-Event-ID", "0")))
            with self.conversation.writing:
                events = "".join(self.conversation.events[place:])
            self._answer(200, events + END)
        else:
            super().do_GET()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/api/visitor/conversations"):
            self._answer(201, json.dumps({"token": "token", "modes": ["text"]}))
            return
        message = json.loads(body)
        if len(message["text"]) > LONGEST:
            self._answer(422, json.dumps({"type": "/problems/message-too-long"}))
            return
        there = self.conversation
        if not there.writing.acquire(blocking=False):
            self._answer(429, json.dumps({"type": "/problems/busy"}))
            there.is_asked_meanwhile.set()
            return
        try:
            there.said.append(message["text"])
            self._answer(200, there.add("user", message["text"], message["id"]))
            if there.is_held:
                there.is_asked_meanwhile.wait(SOON / 1_000)
                there.is_held = False
            reply = there.add("assistant", "We open at nine.")
        finally:
            there.writing.release()
        self.wfile.write((reply + END).encode())

    def do_DELETE(self) -> None:
        self.conversation.events.clear()
        self._answer(204, "")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


@contextmanager
def website(body: str, headers: Mapping[str, str] | None = None) -> Iterator[str]:
    """Serves a page at every path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            for name, value in {
                "Content-Type": "text/html; charset=utf-8",
                **(headers or {}),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Logs nothing."""

    with serving(Handler) as origin:
        yield origin


class Shop:
    """Pages of a website, and what their visitors have said so far."""

    def __init__(self, browser: Browser, server: str, conversation: Conversation) -> None:
        self.browser = browser
        self.server = server
        self.conversation = conversation
        self.said = conversation.said

    @asynccontextmanager
    async def shown(
        self,
        head: str = "",
        tag: str = TAG,
        *,
        whole: str = "<!doctype html><html lang=en><title>A shop</title>{head}<h1>Tea</h1>{tag}",
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Page]:
        """Opens a page; at the end it must have thrown no error."""
        body = whole.replace("{head}", head).replace("{tag}", tag).replace("{server}", self.server)
        named = {
            name: text.replace("{server}", self.server) for name, text in (headers or {}).items()
        }
        context = await self.browser.new_context()
        try:
            with website(body, named) as origin:
                page = await context.new_page()
                page.set_default_timeout(SOON)
                errors: list[str] = []
                page.on("pageerror", lambda error: errors.append(str(error)))
                await page.goto(origin)
                yield page
                assert errors == []
        finally:
            await context.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    pages.build()
    async with opened() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def shop(browser: Browser) -> AsyncIterator[Shop]:
    conversation = Conversation()
    with ExitStack() as stack:
        server = stack.enter_context(serving(partial(_Server, conversation=conversation)))
        yield Shop(browser, server, conversation)


async def answered(page: Page | Frame) -> None:
    reply = page.get_by_test_id("log").get_by_text("We open at nine.")
    await expect(reply).to_be_visible(timeout=SOON)


async def send(page: Page | Frame, text: str) -> None:
    await page.get_by_test_id("text").fill(text)
    await page.get_by_test_id("send").click()


async def converse(page: Page | Frame) -> None:
    """Opens the widget, and has a message answered in it."""
    await page.get_by_role("button", name="Talk to us").click(timeout=SOON)
    await send(page, "When do you open?")
    await answered(page)


@pytest.mark.parametrize("name", list(PAGES))
async def test_the_tag_works_on_pages_of_all_kinds(shop: Shop, name: str) -> None:
    head, tag = PAGES[name]
    async with shop.shown(head, tag) as page:
        await converse(page)
        assert shop.said == ["When do you open?"]
        widget = page.locator("patchbay-widget")
        names = await widget.evaluate("each => each.getAttributeNames().sort()")
        assert names == ["server", "site"]


@pytest.mark.parametrize("scripts", ["'nonce-abc'", "'nonce-abc' 'strict-dynamic'"])
async def test_a_policy_that_knows_scripts_by_a_nonce_alone(shop: Shop, scripts: str) -> None:
    policy = {"Content-Security-Policy": f"{NOTHING_BUT} {scripts}"}
    tag = TAG.replace("<script", '<script nonce="abc"')
    async with shop.shown("", tag, headers=policy) as page:
        await converse(page)


@pytest.mark.parametrize(
    ("whole", "kind"),
    [
        ("<title>A shop</title>{head}<table><tr><td>Tea{tag}</table>", "text/html; charset=utf-8"),
        (
            '<html xmlns="http://www.w3.org/1999/xhtml"><head>{head}</head><body>{tag}</body></html>',
            "application/xhtml+xml",
        ),
    ],
    ids=["without a doctype", "XHTML"],
)
async def test_documents_of_older_kinds(shop: Shop, whole: str, kind: str) -> None:
    tag = TAG.replace(" async", "")
    async with shop.shown("", tag, whole=whole, headers={"Content-Type": kind}) as page:
        await converse(page)


async def test_a_page_in_a_frame_without_an_origin_or_storage(shop: Shop) -> None:
    inner = TAG.replace("{server}", shop.server).replace('"', "&quot;")
    shape = 'sandbox="allow-scripts allow-forms" width=600 height=700'
    frame = f'<iframe {shape} srcdoc="<p>Tea</p>{inner}"></iframe>'
    async with shop.shown("", frame) as page:
        inside = page.frames[1]
        await converse(inside)
        storage = "(() => { try { return localStorage } catch (error) { return error.name } })()"
        assert await inside.evaluate(storage) == "SecurityError"


async def test_a_page_from_right_to_left_in_a_language_that_the_widget_does_not_know(
    shop: Shop,
) -> None:
    whole = "<!doctype html><html lang=fa dir=rtl><title>A shop</title>{head}<h1>Tea</h1>{tag}"
    async with shop.shown(whole=whole) as page:
        await converse(page)
        panel = page.get_by_role("dialog", name="Talk to us")
        assert await panel.evaluate("each => getComputedStyle(each).direction") == "ltr"
        box = await panel.bounding_box()
        assert box
        assert box["x"] > 0
        assert box["x"] + box["width"] < 1280


async def test_a_text_that_is_too_long_stays_in_the_field_and_the_next_one_is_answered(
    shop: Shop,
) -> None:
    pasted = "teapot " * 15_000
    async with shop.shown() as page:
        await page.get_by_role("button", name="Talk to us").click()
        field = page.get_by_test_id("text")
        await field.evaluate("(each, text) => { each.value = text; }", pasted)
        await page.get_by_test_id("send").click()
        await expect(page.get_by_test_id("notice")).to_contain_text("too long")
        await expect(field).to_have_value(pasted.strip())
        await field.fill("When do you open?")
        await field.press("Enter")
        await answered(page)
        await expect(page.get_by_test_id("notice")).to_have_text("")
        assert shop.said == ["When do you open?"]


@pytest.mark.parametrize("nothing", ["   ", "\u200b\u200d", "\u202e\u2066\u2069", "\u3164\ufeff"])
async def test_words_without_a_visible_character_are_not_sent(shop: Shop, nothing: str) -> None:
    async with shop.shown() as page:
        await page.get_by_role("button", name="Talk to us").click()
        await page.get_by_test_id("text").fill(nothing)
        await page.get_by_test_id("send").click()
        await page.get_by_test_id("text").fill("👩‍👩‍👧 \u202eabc\u202c é́́ 1️⃣")
        await page.get_by_test_id("send").click()
        await answered(page)
        assert shop.said == ["👩‍👩‍👧 \u202eabc\u202c é́́ 1️⃣"]
        mine = page.get_by_test_id("log").locator("[data-who=caller] .pb-text")
        assert await mine.all_text_contents() == shop.said


async def test_what_one_tab_says_and_deletes_is_seen_in_the_other(shop: Shop) -> None:
    async with shop.shown() as page:
        await page.get_by_role("button", name="Talk to us").click()
        other = await page.context.new_page()
        await other.goto(page.url)
        await other.get_by_role("button", name="Talk to us").click()
        shop.conversation.is_held = True
        await send(other, "When do you open?")
        # It is at the server.
        await expect(other.get_by_test_id("log").locator(".pb-note")).to_be_hidden()
        await send(page, "And on Sunday?")
        reply = "We open at nine."
        for tab in (page, other):
            texts = tab.get_by_test_id("log").locator(".pb-text")
            await expect(texts).to_have_text(["When do you open?", reply, "And on Sunday?", reply])
        stored = "localStorage.getItem('patchbay.conversation.site_1')"
        assert await page.evaluate(stored) == '"token"'
        await other.evaluate("document.querySelector('patchbay-widget').forget()")
        await expect(page.get_by_test_id("log").locator("*")).to_have_count(0)
        await expect(page.get_by_test_id("notice")).to_contain_text("deleted")
