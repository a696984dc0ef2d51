"""The console's newer pages on a telephone's screen, in the dark, without a mouse."""

from pathlib import Path

from playwright.async_api import Page, expect

from llm_router.connections.access import Actor
from llm_router.connections.record import Connection
from llm_router.testing.server import FaultyServer
from llm_router.voice.assistant import parse_assistant
from llm_router.voice.site import parse_site
from tests.console.conftest import Console
from tests.console.seen import check_accessibility, picture
from tests.contracts.test_phone_page import FILE

ADMIN = Actor("admin", "admin")
IS_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


async def check_screen(page: Page, name: str) -> None:
    await check_accessibility(page)
    await picture(page, f"console-small-{name}")
    assert not await page.evaluate(IS_WIDE), name


async def go(page: Page, name: str) -> None:
    """Goes to a page by the keyboard alone."""
    await page.keyboard.press("Control+k")
    await page.get_by_role("combobox", name="Type the name").fill(name)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_pages_fit_a_small_dark_screen_and_need_no_mouse(
    console: Console, tmp_path: Path
) -> None:
    services = console.services
    (tmp_path / "phone.toml").write_text(FILE)
    site = parse_site({"name": "shop", "origins": ["https://shop.example"]})
    await services.sites.add(ADMIN, site)
    shop = parse_assistant({"name": "tea-shop", "instructions": "Be brief.", "tools": ["time"]})
    await services.assistants.add(ADMIN, shop)
    async with FaultyServer() as server:
        desk = Connection(name="desk", base_url=server.base_url, model_name=server.model)
        await services.store.add(ADMIN, [desk])
        page = await console.page()
        await page.emulate_media(color_scheme="dark")
        await page.set_viewport_size({"width": 390, "height": 850})
        await page.get_by_label("API key").fill(await console.key("admin"))
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("link", name="desk")).to_be_visible()

        await go(page, "Chat")
        await page.get_by_role("button", name="Compare").press("Enter")
        await page.get_by_label("Your message").first.fill("Hello?")
        await page.get_by_role("button", name="Send to both").first.press("Enter")
        await expect(page.get_by_text("how can I help you?")).to_have_count(2)
        await page.get_by_text("Answered by desk").first.click()
        await check_screen(page, "chat")

        await go(page, "Assistants")
        await page.get_by_role("link", name="tea-shop").press("Enter")
        await page.get_by_role("button", name="Begin").press("Enter")
        for section in await page.locator("summary").all():
            await section.press("Enter")
        await page.locator("summary").first.press("Enter")
        await check_screen(page, "assistant")

        await go(page, "Sites")
        await expect(page.get_by_text("https://shop.example")).to_be_visible()
        await check_screen(page, "sites")
        await go(page, "Telephone")
        await expect(page.get_by_text("+4930123456", exact=True)).to_be_visible()
        await check_screen(page, "phone")
