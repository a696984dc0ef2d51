"""The console's pages of assistants, in a real browser over the real API and a model server."""

from pathlib import Path

from playwright.async_api import Page, expect

from llm_router.connections.access import Actor
from llm_router.connections.record import Connection
from llm_router.testing.server import Fault, FaultyServer, Script
from llm_router.types import ToolCall
from llm_router.voice.assistant import parse_assistant
from llm_router.voice.rules import Ownership
from tests.console.conftest import Console
from tests.console.seen import check_accessibility, picture

ADMIN = Actor("admin", "admin")
SHOP = {
    "name": "tea-shop",
    "description": "Answers the shop's telephone",
    "instructions": "You answer the telephone of a small tea shop.\nBe brief.",
    "greeting": "The tea shop, hello!",
    "languages": ["en", "de"],
}


async def store_shop(console: Console, owner: str = "") -> None:
    own = Ownership(owner=owner, visibility="everyone")
    await console.services.assistants.add(ADMIN, parse_assistant(SHOP), own)


async def publish(page: Page) -> None:
    await page.get_by_role("button", name="Publish…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Publish", exact=True).click()


async def test_an_assistant_is_made_tried_published_and_rolled_back(console: Console) -> None:
    def script(number: int) -> Script:
        last = server.requests[number].messages[-1]
        if "time" in str(last["content"]) and last["role"] == "user":
            return Script(words=[], tool_calls=[ToolCall("call_1", "get_time", "{}")])
        return Script(words=["We ", "open ", "at ", "ten."])

    async with FaultyServer(script) as server:
        desk = Connection(name="desk", base_url=server.base_url, model_name=server.model)
        await console.services.store.add(ADMIN, [desk])
        page = await console.signed_in("admin", "/ai-compute/assistants")
        await expect(page.get_by_text("No assistant is stored yet")).to_be_visible()
        await page.get_by_role("button", name="Add an assistant").click()
        await page.get_by_label("Name").fill("tea-shop")
        await page.get_by_label("Instructions").fill("The shop opens at nine.")
        await page.get_by_role("dialog").get_by_role("button", name="Add").click()
        await expect(page.get_by_role("heading", name="tea-shop")).to_be_visible()

        await page.get_by_label("Instructions", exact=True).fill("The shop opens at ten.")
        await page.get_by_text("First words: as the settings say").click()
        await page.get_by_label("First words", exact=True).fill("The tea shop, hello!")
        await page.get_by_role("button", name="Begin").click()
        await expect(page.get_by_text("The tea shop, hello!")).to_be_visible()
        await page.get_by_label("Your message").fill("When do you open? <b>Now?</b>")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("We open at ten.")).to_be_visible()
        await expect(page.get_by_text("desk, first word")).to_be_visible()
        asked = [message["content"] for message in server.requests[0].messages]
        assert asked == [
            "The shop opens at ten.", "The tea shop, hello!", "When do you open? <b>Now?</b>",
        ]  # fmt: skip
        await page.get_by_label("Your message").fill("What time is it?")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("get_time(")).to_be_visible()
        await check_accessibility(page)
        await picture(page, "console-assistant")
        stored = await console.services.assistants.get(ADMIN, "tea-shop")
        assert (stored.version, stored.record.instructions) == (1, "The shop opens at nine.")

        await page.get_by_role("button", name="Publish…").click()
        await expect(page.get_by_role("dialog").get_by_text("opens at nine")).to_be_visible()
        await check_accessibility(page)
        await page.get_by_role("dialog").get_by_role("button", name="Publish", exact=True).click()
        await expect(page.get_by_text("Version 2 is published")).to_be_visible()
        await page.get_by_role("button", name="What differs from now").click()
        await expect(page.locator("ins").get_by_text("opens at nine")).to_be_visible()
        await page.get_by_role("button", name="Publish it again").click()
        await expect(page.get_by_label("Instructions", exact=True)).to_have_value(
            "The shop opens at nine."
        )
        stored = await console.services.assistants.get(ADMIN, "tea-shop")
        assert (stored.version, stored.restored) == (3, 1)
        await page.get_by_role("button", name="Delete").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(page.get_by_text("No assistant is stored yet")).to_be_visible()


async def test_a_trial_is_stopped_and_begun_again_and_one_of_the_file_is_copied(
    console: Console, tmp_path: Path
) -> None:
    (tmp_path / "assistants.toml").write_text('[desk]\ngreeting = "The desk, hello!"\n')
    slow = Script(words=["Well, ", *["so "] * 60], fault=Fault.DRIP)
    async with FaultyServer(slow) as server:
        model = Connection(name="desk", base_url=server.base_url, model_name=server.model)
        await console.services.store.add(ADMIN, [model])
        page = await console.signed_in("admin", "/ai-compute/assistants")
        await page.get_by_role("link", name="desk").click()
        await expect(page.get_by_label("First words", exact=True)).to_be_disabled()
        await page.get_by_role("button", name="Copy it into the database").click()
        await expect(page.get_by_text("desk is stored")).to_be_visible()
        await expect(page.get_by_text("Version 1", exact=True).first).to_be_visible()
        await page.get_by_label("Note for those who manage it").fill("A draft.")
        await page.get_by_role("button", name="Begin").click()
        await expect(page.get_by_text("The desk, hello!").last).to_be_visible()
        await page.get_by_label("Your message").fill("When do you open?")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Well,")).to_be_visible()
        await page.get_by_role("button", name="Stop").click()
        await expect(page.get_by_role("button", name="Stop")).to_have_count(0)
        await expect(page.get_by_role("alert")).to_have_count(0)
        said = page.locator(".trial .said li")
        await expect(said).to_have_count(2)
        await page.get_by_role("button", name="Begin again").click()
        await expect(said).to_have_count(1)
        await expect(said).to_contain_text("The desk, hello!")
    stored = await console.services.assistants.get(ADMIN, "desk")
    assert (stored.record.greeting, stored.version) == ("The desk, hello!", 1)


async def test_two_people_who_edit_one_assistant_lose_nothing(console: Console) -> None:
    await store_shop(console)
    page = await console.signed_in("admin", "/ai-compute/assistants/tea-shop")
    await page.get_by_label("Instructions", exact=True).fill(
        "The shop also sells coffee, and says so to everybody who asks."
    )
    await page.get_by_label("First words", exact=True).fill("My greeting")
    theirs = "The shop is closed on Sundays, and says so."
    await console.services.assistants.change(
        ADMIN, "tea-shop", {"instructions": theirs, "greeting": "Their greeting", "speed": 1.5}
    )
    await publish(page)
    await expect(page.get_by_text("Somebody has changed it meanwhile")).to_be_visible()
    await page.get_by_label("Both, yours below theirs").check()
    await page.get_by_label("Theirs: Their greeting").check()
    await check_accessibility(page)
    await picture(page, "console-assistant-merge")
    await page.get_by_role("button", name="Save the choice").click()
    await publish(page)
    await expect(page.get_by_text("Version 3 is published")).to_be_visible()
    stored = (await console.services.assistants.get(ADMIN, "tea-shop")).record
    assert stored.instructions == (
        f"{theirs}\n\nThe shop also sells coffee, and says so to everybody who asks."
    )
    assert (stored.greeting, stored.speed) == ("Their greeting", 1.5)


async def test_a_session_that_ends_in_mid_edit_loses_no_text(console: Console) -> None:
    await store_shop(console, owner="editor")
    page = await console.signed_in("editor", "/ai-compute/assistants/tea-shop")
    await page.get_by_label("Instructions", exact=True).fill("Half typed")
    await console.context.clear_cookies()
    await publish(page)
    await expect(page.get_by_text("Your session has ended")).to_be_visible()
    await page.get_by_label("API key").last.fill(await console.key("editor"))
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("dialog").get_by_role("button", name="Publish", exact=True).click()
    await expect(page.get_by_text("Version 2 is published")).to_be_visible()
    stored = await console.services.assistants.get(ADMIN, "tea-shop")
    assert stored.record.instructions == "Half typed"


async def test_a_reader_sees_no_button_that_they_may_not_press(console: Console) -> None:
    await store_shop(console)
    page = await console.signed_in("viewer", "/ai-compute/assistants")
    await expect(page.get_by_text("Your role is viewer")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("dialog", name="Sign in")).to_be_visible()
    await page.goto(f"{console.url}/ai-compute/assistants/tea-shop")
    await page.get_by_label("API key").fill(await console.key("operator"))
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_text("You can read this assistant")).to_be_visible()
    for name in ("Publish…", "Delete", "Begin", "Publish it again"):
        await expect(page.get_by_role("button", name=name)).to_have_count(0)
    await expect(page.get_by_label("Instructions", exact=True)).to_be_disabled()
    refused = await page.request.post(
        f"{console.url}/api/assistants/tea-shop/try", data={"draft": {}}
    )
    assert refused.status == 403
    await check_accessibility(page)
