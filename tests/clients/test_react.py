"""A page in React is built from the packages with strict types, and opens the widget."""

from functools import partial
from http.server import SimpleHTTPRequestHandler

import pytest
from playwright.async_api import Route, async_playwright, expect

from deploy import page, paths
from tests.npm import npm
from tests.pages import serving
from tests.voice.test_browser import chromium

pytestmark = pytest.mark.live

REACT = paths.ROOT / "web" / "react"
BUILT = REACT / "example" / "dist"


async def answer_as_site(route: Route) -> None:
    cors = {"Access-Control-Allow-Origin": "*"}
    await route.fulfill(json={"modes": ["text", "voice"], "consent": ""}, headers=cors)


@pytest.mark.timeout(300)
async def test_a_page_in_react_shows_the_widget_and_follows_it() -> None:
    page.install(page.SOURCE)
    await npm(page.SOURCE, "run", "package")
    page.install(REACT)
    await npm(REACT, "run", "build")
    handler = partial(SimpleHTTPRequestHandler, directory=str(BUILT))
    with serving(handler) as origin:
        async with async_playwright() as playwright:
            launched = await playwright.chromium.launch(
                executable_path=chromium(), args=["--no-sandbox"]
            )
            try:
                tab = await launched.new_page()
                errors: list[str] = []
                tab.on("pageerror", lambda error: errors.append(str(error)))
                await tab.route("https://voice.example/site*", answer_as_site)
                await tab.goto(origin)
                await expect(tab.get_by_role("button", name="Ask the tea shop")).to_be_visible()
                assert await tab.locator("patchbay-widget").count() == 1
                await tab.get_by_role("button", name="Any questions?").click()
                await expect(tab.get_by_text("The conversation is open.")).to_be_visible()
                await tab.get_by_role("textbox").press("Escape")
                await expect(tab.get_by_text("The conversation is closed.")).to_be_visible()
                assert errors == []
            finally:
                await launched.close()
