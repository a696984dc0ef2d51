"""Examines a page as people do: pictures of it, and axe's rules for those who cannot see it."""

from playwright.async_api import Page

from deploy import paths
from tests.pages import accessibility_faults

PICTURES = paths.ROOT / "test-artifacts"


async def picture(page: Page, name: str) -> None:
    """Saves what the page shows now, for people."""
    PICTURES.mkdir(exist_ok=True)
    await page.screenshot(path=PICTURES / f"{name}.png")


async def check_accessibility(page: Page) -> None:
    """Fails with each rule of axe that the page breaks, and the elements that break it."""
    faults = await accessibility_faults(page)
    assert faults == [], faults
