"""The console's pages of sites and of the telephone, in a real browser over the real API."""

from pathlib import Path

from playwright.async_api import expect

from llm_router.connections.access import Actor
from llm_router.voice.site import parse_site
from tests.console.conftest import Console, hold
from tests.console.seen import check_accessibility, picture
from tests.contracts.test_phone_page import FILE

ADMIN = Actor("admin", "admin")


async def test_a_site_is_made_limited_switched_off_and_has_its_line_to_copy(
    console: Console,
) -> None:
    sites = console.services.sites
    page = await console.signed_in("admin", "/ai-compute/sites")
    await expect(page.get_by_text("No site is stored yet")).to_be_visible()
    await page.get_by_role("button", name="Add a site").click()
    await page.get_by_label("Name").fill("shop")
    await page.get_by_label("Origins of its pages").fill("shop.example")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("alert").first).to_contain_text("https://shop.example")
    await page.get_by_label("Origins of its pages").fill("https://shop.example")
    await page.get_by_label("Cost a day").fill("10")
    await check_accessibility(page)
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("The line for its pages", exact=True)).to_be_visible()
    key = (await sites.get(ADMIN, "shop")).key
    line = f'<script src="{console.url}/widget.js" data-site="{key}" async></script>'
    await expect(page.get_by_text(line)).to_be_visible()
    await check_accessibility(page)
    await picture(page, "console-site-tag")
    await page.get_by_role("button", name="New key").click()
    await page.get_by_role("dialog").get_by_role("button", name="New key").click()
    await expect(page.get_by_text("The key is now")).to_be_visible()
    assert (await sites.get(ADMIN, "shop")).key != key
    await page.get_by_role("button", name="Close").last.click()
    await expect(page.get_by_text("0.00 of 10.00")).to_be_visible()
    await page.get_by_role("button", name="Switch off: shop").click()
    await expect(page.get_by_text("Switched off", exact=True)).to_be_visible()
    assert not (await sites.get(ADMIN, "shop")).record.is_active
    await check_accessibility(page)
    await picture(page, "console-sites")
    await page.get_by_role("button", name="shop", exact=True).click()
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("No site is stored yet")).to_be_visible()


async def test_each_of_many_sites_can_be_seen_and_edited(console: Console) -> None:
    sites = console.services.sites
    for number in range(201):
        made = {"name": f"shop-{number:03}", "origins": ["https://shop.example"]}
        await sites.add(ADMIN, parse_site(made))
    page = await console.signed_in("admin", "/ai-compute/sites")
    await page.get_by_role("button", name="Add a site").click()
    await page.get_by_label("Name").fill("the-last")
    await page.get_by_label("Origins of its pages").fill("https://shop.example")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("The line for its pages", exact=True)).to_be_visible()
    await page.get_by_role("button", name="New key").click()
    await page.get_by_role("dialog").get_by_role("button", name="New key").click()
    await expect(page.get_by_text("The key is now")).to_be_visible()
    key = (await sites.get(ADMIN, "the-last")).key
    await expect(page.get_by_role("dialog").get_by_text(key).first).to_be_visible()
    await page.get_by_role("button", name="Close").last.click()
    rows = page.get_by_role("region", name="Sites")
    await rows.evaluate("each => each.scrollTo(0, each.scrollHeight)")
    await expect(page.get_by_role("table")).to_have_attribute("aria-rowcount", "202")
    await rows.evaluate("each => each.scrollTo(0, each.scrollHeight)")
    await page.get_by_role("button", name="the-last", exact=True).click()
    await expect(page.get_by_label("Origins of its pages")).to_have_value("https://shop.example")


async def test_two_people_who_edit_one_site_lose_nothing(console: Console) -> None:
    sites = console.services.sites
    await sites.add(ADMIN, parse_site({"name": "shop", "origins": ["https://shop.example"]}))
    page = await console.signed_in("admin", "/ai-compute/sites")
    await page.get_by_role("button", name="shop", exact=True).click()
    await page.get_by_label("Calls at a time").fill("5")
    await page.get_by_label("Assistant that answers").fill("mine")
    await sites.change(ADMIN, "shop", {"assistant": "theirs", "longest_call": 600})
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Somebody has changed it meanwhile")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_label("Assistant that answers")).to_have_value("mine")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_role("button", name="Save the choice").click()
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    record = (await sites.get(ADMIN, "shop")).record
    assert (record.assistant, record.calls_at_once, record.longest_call) == ("mine", 5, 600)


async def test_an_earlier_version_of_a_site_is_compared_and_restored(console: Console) -> None:
    sites = console.services.sites
    await sites.add(ADMIN, parse_site({"name": "shop", "origins": ["https://shop.example"]}))
    await sites.change(ADMIN, "shop", {"calls_at_once": 5, "is_active": False})
    page = await console.signed_in("admin", "/ai-compute/sites")
    await page.get_by_role("button", name="shop", exact=True).click()
    await page.get_by_text("Earlier versions").click()
    await page.get_by_label("Note").fill("typed")
    await expect(page.get_by_text("once your changes are saved")).to_be_visible()
    await expect(page.get_by_role("button", name="Restore: Version 1")).to_have_count(0)
    await page.get_by_label("Note").fill("")
    await page.get_by_role("button", name="Compare with now").click()
    await expect(page.locator(".differences")).to_contain_text("Calls at a time")
    await check_accessibility(page)
    await picture(page, "console-site-versions")
    await page.get_by_role("button", name="Restore: Version 1").click()
    await expect(page.get_by_text("Version 1 holds again")).to_be_visible()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    stored = await sites.get(ADMIN, "shop")
    assert (stored.record.calls_at_once, stored.record.is_active, stored.version) == (
        None,
        False,
        3,
    )


async def test_the_telephone_shows_who_answers_each_number(
    console: Console, tmp_path: Path
) -> None:
    page = await console.signed_in("admin", "/ai-compute/phone")
    await expect(page.get_by_text("No number is answered yet")).to_be_visible()
    (tmp_path / "phone.toml").write_text(FILE)
    await page.reload()
    await expect(page.get_by_text("+4930123456", exact=True)).to_be_visible()
    await expect(page.get_by_text("9:00-12:30, 14:00-18:00")).to_be_visible()
    await expect(page.get_by_text("llm-router phone apply")).to_be_visible()
    await check_accessibility(page)
    await picture(page, "console-phone")
    (tmp_path / "phone.toml").write_text(FILE.replace("+49 30 123457", "112"))
    await page.reload()
    await expect(page.get_by_role("alert")).to_contain_text("emergency number")
    await expect(page.get_by_text("+4930123456", exact=True)).to_be_visible()


async def test_the_telephones_file_is_changed_with_a_preview_and_undone(
    console: Console, tmp_path: Path
) -> None:
    file = tmp_path / "phone.toml"
    file.write_text(FILE)
    page = await console.signed_in("admin", "/ai-compute/phone")
    await page.get_by_role("button", name="Edit the file").click()
    text = page.get_by_label("The file")
    await expect(text).to_have_value(FILE)
    await expect(page.get_by_role("button", name="Save")).to_be_disabled()
    await text.fill(FILE.replace("+49 30 123457", "112"))
    await page.get_by_role("button", name="Preview").click()
    await expect(page.get_by_role("alert")).to_contain_text("emergency number")
    await expect(page.get_by_role("button", name="Save")).to_be_disabled()
    mine = FILE.replace("tea-shop", "night-shop")
    await text.fill(mine)
    await page.get_by_role("button", name="Preview").click()
    await expect(page.get_by_role("link", name="night-shop")).to_be_visible()
    await check_accessibility(page)
    await picture(page, "console-phone-edit")
    # Somebody changes it in an editor, and the session ends, meanwhile.
    file.write_text(f"# Theirs.\n{FILE}")
    await console.context.clear_cookies()
    await page.get_by_role("button", name="Save").click()
    await page.get_by_label("API key").last.fill(await console.key("admin"))
    await page.get_by_role("button", name="Sign in").click()
    await expect(text).to_have_value(mine)
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Somebody has changed it meanwhile")).to_be_visible()
    await check_accessibility(page)
    await page.get_by_role("button", name="Save the choice").click()
    await expect(text).to_have_value(mine)
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_text("Hours and assistants hold from the next call")).to_be_visible()
    assert file.read_text() == mine
    await page.get_by_role("button", name="Open it here").click()
    await expect(text).to_have_value(f"# Theirs.\n{FILE}")
    await page.get_by_role("button", name="Preview").click()
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_role("button", name="Open it here")).to_have_count(2)
    assert file.read_text() == f"# Theirs.\n{FILE}"
    await page.get_by_role("button", name="Close").click()
    await expect(page.get_by_role("heading", name="Telephone", exact=True)).to_be_visible()


async def test_what_is_typed_while_the_telephones_file_is_saved_stays(
    console: Console, tmp_path: Path
) -> None:
    file = tmp_path / "phone.toml"
    file.write_text(FILE)
    page = await console.signed_in("admin", "/ai-compute/phone")
    await page.get_by_role("button", name="Edit the file").click()
    text = page.get_by_label("The file")
    await text.fill(f"# First.\n{FILE}")
    await page.get_by_role("button", name="Preview").click()
    saving = await hold(page, "**/api/phone/file", "PUT")
    await page.get_by_role("button", name="Save").click()
    saved = await saving
    await text.fill(f"# Second.\n{FILE}")
    await saved.continue_()
    await expect(page.get_by_text("Hours and assistants hold from the next call")).to_be_visible()
    await expect(text).to_have_value(f"# Second.\n{FILE}")
    assert file.read_text() == f"# First.\n{FILE}"
    await page.get_by_role("button", name="Preview").click()
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_role("button", name="Open it here")).to_have_count(2)
    assert file.read_text() == f"# Second.\n{FILE}"


async def test_sites_and_the_telephone_are_for_admins(console: Console) -> None:
    page = await console.signed_in("editor", "/ai-compute/sites")
    await expect(page.get_by_text("Sites are for admins")).to_be_visible()
    await page.goto(f"{console.url}/ai-compute/phone")
    await expect(page.get_by_text("The telephone is for admins")).to_be_visible()
    for path in ("sites", "phone"):
        assert (await page.request.get(f"{console.url}/api/{path}")).status == 403
