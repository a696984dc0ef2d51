"""The console with odd names, with what vanishes while it is edited, and with wrong clocks."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Page, expect

from llm_router.clock import SystemClock, utc_now
from llm_router.connections.access import Actor
from llm_router.connections.record import Connection
from tests.console.conftest import Console
from tests.console.seen import check_accessibility, picture
from tests.console.test_connections import connection
from tests.console.test_small_screens import IS_WIDE

ADMIN = Actor("admin", "admin")
ODD = (
    "<img src=x onerror=\"document.title='broken'\"><b>bold</b>",
    "🫖 tea 👩‍👩‍👧‍👦 café",
    "שרת ראשי مكالمات",
    "x" * 100,
    "long " * 19,
)


async def check_odd(page: Page, name: str) -> None:
    assert await page.title() != "broken"
    assert await page.locator("main b, main img").count() == 0
    await page.wait_for_function(f"() => !({IS_WIDE})")  # not while a list is being drawn
    await check_accessibility(page)
    await picture(page, f"console-odd-{name}")


async def test_odd_names_are_text_and_no_page_grows_wider_than_a_telephone(
    console: Console,
) -> None:
    made = [
        Connection(name=name.strip(), base_url="http://10.0.0.1:8000/v1", model_name="m", pool=name)
        for name in ODD
    ]
    stored = await console.services.store.add(ADMIN, made)
    page = await console.signed_in("admin")
    for width in (1200, 390):
        await page.set_viewport_size({"width": width, "height": 844})
        for one in stored:
            await expect(page.get_by_role("link", name=one.name, exact=True)).to_be_visible()
        await check_odd(page, f"list-{width}")
    for one in stored:
        await page.get_by_role("link", name=one.name, exact=True).click()
        await expect(page.get_by_role("heading", name=one.name, exact=True)).to_be_visible()
        await check_odd(page, f"connection-{stored.index(one)}")
        await page.go_back()
    await page.keyboard.press("Control+k")
    await page.get_by_role("combobox", name="Type the name").fill("שרת")
    await expect(page.get_by_role("dialog").get_by_role("option")).to_have_text([ODD[2]])
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name=ODD[2], exact=True)).to_be_visible()
    await page.goto(f"{console.url}/ai-compute/chat")
    await expect(page.get_by_label("Ask", exact=True)).to_be_visible()
    await check_odd(page, "chat")


async def test_a_connection_deleted_while_it_is_edited_says_so_and_the_text_stays(
    console: Console,
) -> None:
    [one] = await console.services.store.add(ADMIN, [connection(1)])
    page = await console.signed_in("admin", f"/ai-compute/connections/{one.id}")
    await page.get_by_role("button", name="Edit").click()
    await page.get_by_label("Model").fill("typed for long")
    await console.services.store.remove(ADMIN, one.id)
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text(one.id)
    await expect(page.get_by_label("Model")).to_have_value("typed for long")


async def test_a_server_that_is_gone_is_named_and_what_is_typed_is_saved_once_it_is_back(
    console: Console,
) -> None:
    [one] = await console.services.store.add(ADMIN, [connection(1)])
    page = await console.signed_in("admin", f"/ai-compute/connections/{one.id}")
    await page.get_by_role("button", name="Edit").click()
    await page.get_by_label("Model").fill("typed for long")
    await console.context.set_offline(True)
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text(
        "The server does not answer"
    )
    await console.context.set_offline(False)
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    assert (await console.services.store.get(ADMIN, one.id)).model_name == "typed for long"


@pytest.mark.parametrize("year", [2001, 2051])
async def test_a_browser_whose_clock_is_wrong_shows_every_page(console: Console, year: int) -> None:
    await console.services.store.add(ADMIN, [connection(1)])
    await console.context.clock.set_fixed_time(datetime(year, 6, 1, tzinfo=UTC))
    page = await console.signed_in("admin")
    await expect(page.get_by_role("link", name="server-00001")).to_be_visible()
    async with page.expect_response("**/api/analytics/timeseries?*") as asked:
        await page.get_by_role("navigation").get_by_role("link", name="Usage").click()
    begins = datetime.fromisoformat((await (await asked.value).json())["since"])
    assert utc_now(SystemClock()) - begins < timedelta(days=2)
    for name in ("Usage", "Calls", "Chat", "Assistants", "Sites", "Telephone"):
        await page.get_by_role("navigation").get_by_role("link", name=name).click()
        await expect(page.get_by_role("heading", level=1, name=name)).to_be_visible()
        await expect(page.get_by_role("alert")).to_have_count(0)
