"""Serves the widget in each of its states, and takes pictures of them for the documentation.

`python -m tests.widget.gallery` writes them to docs/widget.
"""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, Page, async_playwright

from deploy import page, paths, toolchain
from tests.pages import serving
from tests.voice.test_browser import chromium

SITE = b'{"modes": ["text", "voice"], "consent": ""}'
PICTURES = paths.ROOT / "docs" / "widget"
WINDOW, PHONE, SMALL, MAGNIFIED = (520, 740), (390, 760), (320, 568), (320, 256)
"""Sizes of windows; the last is that of 1280 by 1024 pixels magnified four times (WCAG 1.4.10)."""
_BUILT = page.SOURCE / "dist-gallery"


Scheme = Literal["light", "dark"]


@dataclass(frozen=True)
class Display:
    """How a state is shown."""

    language: str = "en"
    scheme: Scheme = "light"
    window: tuple[int, int] = field(default=WINDOW)


PICTURED: Sequence[tuple[str, str, Display]] = (
    ("typed", "typed", Display()),
    ("closed", "closed", Display()),
    ("open", "open", Display()),
    ("speaking", "speaking", Display(scheme="dark")),
    ("captions", "captions", Display(window=PHONE)),
    ("hold", "hold", Display(language="es")),
    ("choices", "choices", Display(language="de")),
    ("forget", "forget", Display(language="it", window=PHONE)),
    ("queue", "queue", Display()),
    ("leave-message", "leave-message", Display(language="fr", scheme="dark")),
    ("call-back", "call-back", Display(language="nl")),
    ("consent", "consent", Display(language="it")),
    ("microphone", "microphone", Display(language="de", scheme="dark")),
    ("play", "play", Display(language="pt", window=SMALL)),
    ("away", "away", Display(language="pl")),
    ("rating", "rating", Display()),
    ("text-only", "text-only", Display()),
    ("right-to-left", "typed", Display(language="ar", window=PHONE)),
    ("right-to-left-dark", "rating", Display(language="he", scheme="dark")),
)
"""Name of the picture, the state, and how it is shown."""


class _Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if not self.path.startswith("/site"):
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(SITE)

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


def build() -> None:
    """Builds the page of the states."""
    page.install(page.SOURCE)
    npm = toolchain.npm()
    environ: Mapping[str, str] = page.npm_environ(npm)
    command: list[Path | str] = [*npm, "run", "--silent", "gallery"]
    subprocess.run(command, cwd=page.SOURCE, env=environ, check=True, capture_output=True)


@contextmanager
def served() -> Iterator[str]:
    """Serves the page of the states; yields its address."""
    with serving(partial(_Handler, directory=str(_BUILT))) as origin:
        yield f"{origin}/"


@asynccontextmanager
async def opened() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def shown(
    browser: Browser, address: str, state: str, display: Display
) -> AsyncIterator[Page]:
    """Shows a state, in a page of its own without movement."""
    width, height = display.window
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=display.scheme,
        reduced_motion="reduce",
        has_touch=display.window != WINDOW,
    )
    try:
        made = await context.new_page()
        await made.goto(f"{address}?state={state}&language={display.language}")
        await made.wait_for_selector(f'body[data-shown="{state}"]')
        yield made
    finally:
        await context.close()


async def states(browser: Browser, address: str) -> list[str]:
    """Returns the names of the states."""
    async with shown(browser, address, "open", Display()) as made:
        return list(await made.evaluate("window.states"))


async def take_pictures(folder: Path) -> None:
    """Writes a picture of each state."""
    build()
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    with served() as address:
        async with opened() as browser:
            for name, state, display in PICTURED:
                async with shown(browser, address, state, display) as made:
                    await made.screenshot(path=folder / f"{name}.png")


if __name__ == "__main__":
    asyncio.run(take_pictures(PICTURES))
