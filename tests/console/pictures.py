"""Takes the pictures of docs/console.md anew, of pages over a store with invented calls.

    python -m tests.console.pictures

Those of a chat, of an assistant's trial and of a supervisor are taken by the tests of these pages
(`test_studio`, `test_assistants`, `tests/voice/test_console.py`), into test-artifacts.
"""

import asyncio
import contextlib
import tempfile
from pathlib import Path

from playwright.async_api import Page

from bench.console.stock import Amount, fill_database
from bench.full_store.fill import connection_id, draw_attempts
from deploy import page as pages
from deploy import paths
from llm_router.clock import utc_now
from llm_router.connections.access import Actor
from llm_router.voice.site import parse_site
from tests.console.conftest import Console, running_console
from tests.console.test_calls import CLOCK, RECEIPT, begin, said
from tests.contracts.stores import MASTER_KEY
from tests.contracts.test_phone_page import FILE

FOLDER = paths.ROOT / "docs" / "console"
ADMIN = Actor("admin", "admin")
AMOUNT = Amount(connections=12, attempts=20_000)


def main() -> None:
    pages.build()
    # The pages show paths of files: these are such as anybody has.
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        folder = Path("config")
        folder.mkdir()
        (folder / "phone.toml").write_text(FILE, encoding="utf-8")
        asyncio.run(serve_and_take(folder))


async def serve_and_take(folder: Path) -> None:
    url = "sqlite:///store.sqlite3"
    await fill_database(url, MASTER_KEY, AMOUNT, draw_attempts(1, AMOUNT.connections))
    site = {"name": "shop", "origins": ["https://shop.example"], "spend_per_day": 10.0}
    async with running_console(url, folder) as console:
        await console.services.sites.add(ADMIN, parse_site(site))
        await take_all(console)


async def take_all(console: Console) -> None:
    page = await console.signed_in("admin")
    await take(page, "connections", ".rows td a")
    await take(page, "connection", ".card strong", f"/connections/{connection_id(0)}")
    await take(page, "calls", ".rows td a", "/calls")
    await page.goto(f"{console.url}/ai-compute/calls/{await call_with_a_failover(console)}")
    await page.get_by_text("The caller waited").click()
    await take(page, "call", "details.turn[open] .lane")
    await take(page, "usage", ".rows td", "/usage?range=month")
    await take(page, "sites", ".rows td", "/sites")
    await take(page, "phone", "pre.code", "/phone")
    await take(page, "waits", "dl.waits", "/waits")


async def call_with_a_failover(console: Console) -> str:
    call_id = await begin(console, "room-1")
    items = [
        said(1, "user", "When do you open on Saturday?"),
        said(2, "assistant", "We open at nine.", receipt=RECEIPT),
    ]
    await console.services.calls.append(call_id, items, utc_now(CLOCK))
    return call_id


async def take(page: Page, name: str, shows: str, path: str = "") -> None:
    """Takes a picture of the page once it shows that element; at `path`, if one is given."""
    if path:
        origin = await page.evaluate("location.origin")
        await page.goto(f"{origin}/ai-compute{path}")
    await page.locator(shows).first.wait_for()
    await page.screenshot(path=FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
