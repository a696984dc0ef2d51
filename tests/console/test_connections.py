"""The console's pages of connections, in a real browser over the real API."""

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from llm_router.connections.access import Actor
from llm_router.connections.record import Connection
from llm_router.testing.server import Fault, FaultyServer, Script
from tests.console.conftest import Console
from tests.console.seen import check_accessibility, picture

ADMIN = Actor("admin", "admin")


def connection(number: int, **fields: object) -> Connection:
    name = f"server-{number:05}"
    address = f"http://10.0.0.{number % 250}:8000/v1"
    return Connection(name=name, base_url=address, model_name="qwen3-4b", **fields)  # type: ignore[arg-type]  # any field of the record


async def add(page: Page, server: FaultyServer) -> None:
    await page.get_by_role("button", name="Add a connection").click()
    await page.get_by_label("Name", exact=True).fill("cellar")
    await page.get_by_label("Address").fill(server.base_url)
    await page.get_by_label("Model").fill(server.model)


async def test_a_connection_is_tested_saved_edited_switched_and_deleted(console: Console) -> None:
    page = await console.signed_in("admin")
    await expect(page.get_by_text("No connection is stored yet")).to_be_visible()
    async with FaultyServer() as server:
        await add(page, server)
        await page.get_by_role("button", name="Test", exact=True).click()
        await expect(page.get_by_text("It answers: first word after")).to_be_visible()
        await picture(page, "console-add")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("heading", name="cellar")).to_be_visible()
        await page.get_by_role("button", name="Test now").click()
        await expect(page.get_by_text("It answers: first word after")).to_be_visible()
        await expect(page.get_by_text("Answers", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Edit").click()
    await page.get_by_label("Model").fill("qwen3-8b")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("qwen3-4b")).to_have_count(0)
    await expect(page.get_by_role("list").get_by_text("qwen3-8b")).to_be_visible()
    await page.get_by_role("button", name="Switch off").click()
    await page.get_by_role("status").get_by_role("button", name="Undo").click()
    await expect(page.get_by_role("button", name="Switch off")).to_be_visible()
    await check_accessibility(page)
    await picture(page, "console-connection")
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("No connection is stored yet")).to_be_visible()


async def test_an_undo_switches_only_those_that_were_switched(console: Console) -> None:
    store = console.services.store
    on, off, gone = await store.add(
        ADMIN, [connection(1), connection(2, is_active=False), connection(3)]
    )
    page = await console.signed_in("admin")
    for one in (on, off, gone):
        await page.get_by_label(f"Select {one.name}").check()
    await page.route(f"**/{gone.id}/deactivate", lambda route: route.fulfill(status=404))
    await page.get_by_role("button", name="Switch off", exact=True).first.click()
    await expect(page.get_by_role("status").get_by_text(f"Switched off: {on.name}")).to_be_visible()
    await page.get_by_role("status").get_by_role("button", name="Undo").click()
    await expect(page.get_by_role("status").get_by_text(f"Switched on: {on.name}")).to_be_visible()
    found = [(await store.get(ADMIN, one.id)).is_active for one in (on, off, gone)]
    assert found == [True, False, True]


async def test_a_server_that_fails_is_explained_before_it_is_saved(console: Console) -> None:
    page = await console.signed_in("admin")
    async with FaultyServer(Script(fault=Fault.STATUS, status=401)) as server:
        await add(page, server)
        await page.get_by_role("button", name="Test", exact=True).click()
        await expect(page.get_by_role("alert").first).to_contain_text("check api_key")


async def test_two_people_who_edit_one_connection_lose_nothing(console: Console) -> None:
    [one] = await console.services.store.add(ADMIN, [connection(1)])
    page = await console.signed_in("admin", f"/ai-compute/connections/{one.id}")
    await page.get_by_role("button", name="Edit").click()
    await page.get_by_label("Model").fill("mine")
    await page.get_by_text("More settings").click()
    await page.get_by_label("Pool").fill("spare")
    await console.services.store.change(ADMIN, one.id, {"model_name": "theirs", "priority": 7})
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Somebody has changed it meanwhile")).to_be_visible()
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_label("Model")).to_have_value("mine")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_label("Theirs: theirs").check()
    await check_accessibility(page)
    await page.get_by_role("button", name="Save the choice").click()
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    stored = await console.services.store.get(ADMIN, one.id)
    assert (stored.model_name, stored.pool, stored.priority) == ("theirs", "spare", 7)


async def test_a_session_that_ends_while_somebody_types_loses_no_text(console: Console) -> None:
    page = await console.signed_in("editor")
    await page.get_by_role("button", name="Add a connection").click()
    await page.get_by_label("Name", exact=True).fill("half typed")
    await console.context.clear_cookies()
    # The list behind the window is read again every 15 s, and is refused.
    await expect(page.get_by_text("Your session has ended")).to_be_visible()
    await page.get_by_label("API key").last.fill(await console.key("editor", "again"))
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_label("Name", exact=True)).to_have_value("half typed")


async def test_the_sign_in_window_stays_however_often_escape_is_pressed(console: Console) -> None:
    page = await console.page()
    key = page.get_by_label("API key")
    await expect(key).to_be_focused()
    for _ in range(3):
        await page.keyboard.press("Escape")
        await expect(key).to_be_focused()
    await key.fill(await console.key("admin"))
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_text("No connection is stored yet")).to_be_visible()


async def test_a_viewer_sees_no_button_that_they_may_not_press(console: Console) -> None:
    [one] = await console.services.store.add(ADMIN, [connection(1, visibility="everyone")])
    page = await console.signed_in("viewer", f"/ai-compute/connections/{one.id}")
    await expect(page.get_by_role("heading", name=one.name)).to_be_visible()
    for name in ("Edit", "Delete", "Test now", "Switch off", "Replace the key"):
        await expect(page.get_by_role("button", name=name)).to_have_count(0)
    await page.get_by_role("navigation").get_by_role("link", name="Connections").click()
    await expect(page.get_by_text("Your role is viewer")).to_be_visible()
    await expect(page.get_by_role("button", name="Add a connection")).to_have_count(0)
    refused = await page.request.post(f"{console.url}/api/connections/{one.id}/deactivate")
    assert refused.status == 403


PAGES = ("connections", "calls", "usage", "chat", "assistants", "sites", "phone", "waits")
REFUSED = (
    "calls", "calls/workers", "chats", "assistants", "sites", "phone", "waits", "audit", "models",
)  # fmt: skip


async def test_no_page_has_a_button_that_a_viewer_may_not_press(console: Console) -> None:
    await console.services.store.add(ADMIN, [connection(1, visibility="everyone")])
    page = await console.signed_in("viewer")
    await expect(page.get_by_text("Your role is viewer")).to_be_visible()
    for name in PAGES:
        await page.goto(f"{console.url}/ai-compute/{name}")
        await expect(page.get_by_role("heading").first).to_be_visible()
        if name == "connections":
            await expect(page.get_by_role("link", name="server-")).to_have_count(1)
        await expect(page.locator("main .waiting")).to_have_count(0)
        buttons = page.locator("main").get_by_role("button")
        shown = [text.strip() for text in await buttons.all_inner_texts()]
        assert [text for text in shown if not text.endswith("Sort by")] == [], name
        assert await page.locator("main input[type=checkbox]").count() == 0, name
    for path in REFUSED:
        refused = await page.request.get(f"{console.url}/api/{path}")
        assert refused.status == 403, path


async def test_filters_are_in_the_address_and_survive_a_reload(console: Console) -> None:
    made = [connection(n, tags=("gpu",) if n % 2 else ()) for n in range(4)]
    await console.services.store.add(ADMIN, made)
    page = await console.signed_in("admin")
    await page.get_by_role("button", name="gpu").first.click()
    await page.get_by_label("Search").fill("00003")
    await expect(page.get_by_role("link", name="server-")).to_have_text(["server-00003"])
    await page.reload()
    await expect(page.get_by_role("link", name="server-")).to_have_text(["server-00003"])
    assert "text=" in page.url
    assert "tag=gpu" in page.url
    await page.get_by_role("button", name="Clear the filters").click()
    await expect(page.get_by_role("link", name="server-")).to_have_count(4)


async def test_a_file_is_shown_as_a_plan_before_it_is_applied(
    console: Console, tmp_path: Path
) -> None:
    [one] = await console.services.store.add(ADMIN, [connection(1)])
    file = tmp_path / "connections.json"
    file.write_text(
        '{"connections": [{"name": "server-00001", "base_url": "http://10.0.0.1:8000/v1",'
        ' "model": "qwen3-8b"}, {"name": "new", "base_url": "http://10.0.0.9:8000/v1"}]}'
    )
    page = await console.signed_in("admin")
    await page.get_by_role("button", name="Import a file").click()
    # As the browser's own window for files does, where it is closed without a file.
    await page.get_by_label("Choose a file").dispatch_event("cancel", {"bubbles": True})
    await page.get_by_label("Choose a file").set_input_files(file)
    await expect(page.get_by_text("1 to add, 1 to change")).to_be_visible()
    assert (await console.services.store.get(ADMIN, one.id)).model_name == "qwen3-4b"
    await page.get_by_role("button", name="Apply").click()
    await expect(page.get_by_role("link", name="new")).to_be_visible()
    assert (await console.services.store.get(ADMIN, one.id)).model_name == "qwen3-8b"


async def test_ten_thousand_connections_hold_only_the_rows_in_view(console: Console) -> None:
    for start in range(0, 10_000, 500):
        # Switched off, so that nothing checks them meanwhile.
        made = [connection(n, is_active=False) for n in range(start, start + 500)]
        await console.services.store.add(ADMIN, made)
    page = await console.signed_in("admin")
    await expect(page.get_by_text("200 of 10000")).to_be_visible()
    assert await page.locator("tbody tr").count() < 60
    rows = page.get_by_role("region", name="Connections")
    await rows.evaluate("each => each.scrollTo(0, each.scrollHeight)")
    await expect(page.get_by_text("400 of 10000")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
async def test_every_state_of_the_list_is_accessible(
    console: Console, scheme: str, width: int
) -> None:
    page = await console.page()
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of its names
    await page.set_viewport_size({"width": width, "height": 850})
    await expect(page.get_by_role("dialog", name="Sign in")).to_be_visible()
    await check_accessibility(page)
    await page.get_by_label("API key").fill(await console.key("admin"))
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_text("No connection is stored yet")).to_be_visible()
    await check_accessibility(page)
    await console.services.store.add(
        ADMIN, [connection(n, priority=n, tags=("gpu",)) for n in range(30)]
    )
    await page.reload()
    await expect(page.get_by_role("link", name="server-00001")).to_be_visible()
    await check_accessibility(page)
    await picture(page, f"console-{scheme}-{width}")
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not await page.evaluate(wide)
    await page.keyboard.press("Control+k")
    await page.get_by_role("combobox", name="Type the name").fill("server-00007")
    await expect(page.get_by_role("dialog").get_by_role("option")).to_have_count(1)
    await check_accessibility(page)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="server-00007")).to_be_visible()
