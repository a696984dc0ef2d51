"""The console's chat studio, in a real browser over the real API and a model server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Literal

from playwright.async_api import Dialog, Page, expect

from llm_router.clock import SystemClock, utc_now
from llm_router.connections.access import Actor
from llm_router.connections.record import Connection
from llm_router.testing.server import Behaviour, Fault, FaultyServer, Script
from llm_router.voice.calls import CallAgent, CallFacts, CallItem
from tests.console.conftest import Console, hold
from tests.console.seen import check_accessibility, picture

ADMIN = Actor("admin", "admin")
STUDIO = "/ai-compute/chat"
HOSTILE = "<script>document.title = 'taken'</script>When do you open?"
ROLES: tuple[Literal["user", "assistant"], ...] = ("user", "assistant")
LONG = Script(words=[f"word{number} " for number in range(4_000)], gap=0.05)


@asynccontextmanager
async def serving(
    console: Console, name: str, behaviour: Behaviour | None = None, **fields: object
) -> AsyncIterator[FaultyServer]:
    """Runs a model server, with a connection to it."""
    async with FaultyServer(behaviour) as server:
        one = Connection(
            name=name,
            base_url=server.base_url,
            model_name=server.model,
            use_in_automation=True,
            **fields,  # type: ignore[arg-type]  # any field of the record
        )
        await console.services.store.add(ADMIN, [one])
        yield server


async def say(page: Page, words: str) -> None:
    await page.get_by_label("Your message").first.fill(words)
    await page.get_by_role("button", name="Send", exact=True).first.click()


async def test_a_chat_is_streamed_stopped_written_again_edited_and_found(console: Console) -> None:
    def script(number: int) -> Script:
        asked = str(server.requests[number].messages[-1]["content"])
        return LONG if "long" in asked else Script(words=["We ", "open ", "at ", "nine."])

    async with serving(console, "desk", script, price_in=1.0, price_out=2.0) as server:
        page = await console.signed_in("admin", STUDIO)
        await expect(
            page.get_by_label("Ask", exact=True).get_by_role("option", name="desk")
        ).to_have_count(1)
        await page.get_by_label("Ask", exact=True).select_option("desk")
        await page.get_by_text("Whom to ask, and how").click()
        await page.get_by_label("System prompt").fill("Be brief.")
        await page.get_by_label("Temperature").fill("0.5")
        await page.get_by_label("Your message").fill(HOSTILE)
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("We open at nine.")).to_be_visible()
        await expect(page.get_by_text(HOSTILE).first).to_be_visible()
        assert await page.title() == "Patchbay console"
        asked = server.requests[-1]
        assert (asked.body["temperature"], asked.messages[0]["content"]) == (0.5, "Be brief.")
        await page.get_by_text("Answered by desk").click()
        await expect(page.get_by_role("cell", name="best by the policy")).to_be_visible()
        await check_accessibility(page)
        await picture(page, "console-chat")

        await say(page, "a long one")
        await expect(page.get_by_text("word3")).to_be_visible()
        await page.get_by_role("button", name="Stop", exact=True).click()
        await expect(page.get_by_text("Broken off: stopped")).to_be_visible()

        first = page.locator('li[data-number="1"]')
        await first.get_by_role("button", name="Edit").click()
        await page.get_by_label("Edit").fill("When do you close?")
        await page.get_by_role("button", name="Send as another branch").click()
        await expect(page.get_by_text("2 of 2")).to_be_visible()
        await page.get_by_role("button", name="Write again").click()
        await expect(page.get_by_text("2 of 2")).to_have_count(2)
        await page.get_by_role("button", name="Previous version").first.click()
        await expect(page.get_by_text("Broken off: stopped")).to_be_visible()
        await page.get_by_role("button", name="Go on from here").first.click()
        await expect(page.get_by_text("Goes on after message 2")).to_be_visible()
        await say(page, "And on Sunday?")
        await expect(page.get_by_text("Broken off: stopped")).to_have_count(0)

        await page.get_by_label("Search your chats").fill("you close")
        found = page.get_by_role("navigation", name="Your chats")
        await expect(found.get_by_text("When do you close?")).to_be_visible()
        await page.get_by_label("Search your chats").fill("no such words")
        await expect(page.get_by_text("No chat of yours has this text.")).to_be_visible()
        await page.get_by_role("button", name="Delete").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(page.get_by_text("Ask a connection, a pool or the router")).to_be_visible()


async def test_two_are_asked_side_by_side_and_a_failover_says_why(console: Console) -> None:
    failing = Script(fault=Fault.STATUS, status=500)
    async with (
        serving(console, "attic", failing, priority=0),
        serving(console, "desk", priority=1),
    ):
        page = await console.signed_in("admin", STUDIO)
        await page.get_by_role("button", name="Compare").click()
        other = page.get_by_role("region", name="Chat beside it")
        await other.get_by_label("Ask", exact=True).select_option("desk")
        await page.get_by_label("Your message").first.fill("Hello?")
        await page.get_by_role("button", name="Send to both").first.click()
        one = page.get_by_role("region", name="Chat", exact=True)
        await expect(one.get_by_text("how can I help you?")).to_be_visible()
        await expect(other.get_by_text("how can I help you?")).to_be_visible()
        await one.get_by_text("Answered by desk").click()
        await expect(one.get_by_role("cell", name="the one before had failed")).to_be_visible()
        await expect(other.get_by_text("Attempts: 2")).to_have_count(0)
        await check_accessibility(page)
        await picture(page, "console-chat-compare")
        await page.reload()
        await expect(other.get_by_text("how can I help you?")).to_be_visible()


async def test_a_turn_of_a_call_is_answered_by_others(console: Console) -> None:
    calls, now = console.services.calls, utc_now(SystemClock())
    agent = CallAgent(identity="agent-1", worker="worker-1", job="job-1")
    facts = CallFacts(kind="web", keep="transcript")
    claimed = await calls.claim("room", 1, agent, now, facts)
    assert claimed
    said = [
        CallItem(id="1", role="assistant", text="The shop, hello!", created_at=now),
        CallItem(id="2", role="user", text="When do you open?", created_at=now),
        CallItem(id="3", role="assistant", text="At ten.", created_at=now),
    ]
    await calls.append(claimed.id, said, now)
    async with serving(console, "desk") as server:
        page = await console.signed_in("admin", f"/ai-compute/calls/{claimed.id}")
        await page.get_by_role("link", name="Ask others").click()
        await expect(page.get_by_text("At ten.")).to_be_visible()
        await page.get_by_role("button", name="Send to both").first.click()
        await expect(page.get_by_text("how can I help you?")).to_have_count(2)
        asked = [message["content"] for message in server.requests[0].messages]
        assert asked == ["The shop, hello!", "When do you open?"]
        await check_accessibility(page)
        await picture(page, "console-chat-replay")


async def test_a_late_turn_of_a_long_call_is_asked_with_what_came_before(console: Console) -> None:
    calls, now = console.services.calls, utc_now(SystemClock())
    agent = CallAgent(identity="agent-1", worker="worker-1", job="job-1")
    claimed = await calls.claim("room", 1, agent, now, CallFacts(kind="web", keep="transcript"))
    assert claimed
    said = [
        CallItem(id=str(number), role=role, text=f"This is item {number}.", created_at=now)
        for number, role in zip(range(1, 1_101), cycle(ROLES), strict=False)
    ]
    for first in range(0, len(said), 100):
        await calls.append(claimed.id, said[first : first + 100], now)
    async with serving(console, "desk") as server:
        place = f"{STUDIO}?call={claimed.id}&item=1097&beside=new"
        page = await console.signed_in("admin", place)
        await expect(page.get_by_text("This is item 1098.")).to_be_visible()
        await page.get_by_role("button", name="Send to both").first.click()
        await expect(page.get_by_text("how can I help you?")).to_have_count(2)
        asked = [message["content"] for message in server.requests[0].messages]
        assert asked[-2:] == ["This is item 1096.", "This is item 1097."]
        assert len(asked) == 200


async def test_what_is_set_while_a_message_is_sent_stays(console: Console) -> None:
    async with serving(console, "desk") as server:
        page = await console.signed_in("admin", STUDIO)
        await page.get_by_label("Ask", exact=True).select_option("desk")
        await page.get_by_text("Whom to ask, and how").click()
        await say(page, "Hello?")
        await expect(page.get_by_text("how can I help you?")).to_have_count(1)
        storing = await hold(page, "**/api/chats/*", "PATCH")
        await page.get_by_label("Temperature").fill("0.5")
        await say(page, "Hello again?")
        stored = await storing
        await page.get_by_label("System prompt").fill("Be brief.")
        await stored.continue_()
        await expect(page.get_by_text("how can I help you?")).to_have_count(2)
        await expect(page.get_by_label("System prompt")).to_have_value("Be brief.")
        await say(page, "And now?")
        await expect(page.get_by_text("how can I help you?")).to_have_count(3)
        asked = server.requests[-1]
        assert (asked.body["temperature"], asked.messages[0]["content"]) == (0.5, "Be brief.")


async def test_a_session_that_ends_loses_no_text_and_a_reload_no_reply(console: Console) -> None:
    async with serving(console, "desk", LONG, visibility="everyone"):
        page = await console.signed_in("editor", STUDIO)
        await page.get_by_label("Your message").fill("Count.")
        await console.context.clear_cookies()
        await page.get_by_role("button", name="Send", exact=True).click()
        await expect(page.get_by_text("Your session has ended")).to_be_visible()
        await page.get_by_label("API key").last.fill(await console.key("editor", "again"))
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_label("Your message")).to_have_value("Count.")
        await page.get_by_role("button", name="Send", exact=True).click()
        await expect(page.get_by_text("word3")).to_be_visible()
        await page.reload()
        await expect(page.get_by_text("word0 word1")).to_be_visible()
        await page.get_by_role("button", name="Stop", exact=True).click()
        await expect(page.get_by_text("Broken off: stopped")).to_be_visible()


async def test_a_viewer_has_no_chat_and_the_page_says_why(console: Console) -> None:
    page = await console.signed_in("viewer", STUDIO)
    await expect(page.get_by_text("Your role is viewer")).to_be_visible()
    await expect(page.get_by_label("Your message")).to_have_count(0)


async def test_one_of_many_to_ask_is_found_by_a_part_of_its_name(console: Console) -> None:
    made = [
        Connection(name=f"desk-{number:03}", base_url="http://10.0.0.1/v1", use_in_automation=True)
        for number in range(150)
    ]
    await console.services.store.add(ADMIN, made)
    page = await console.signed_in("admin", STUDIO)
    asked = page.get_by_label("Ask", exact=True)
    await expect(asked.locator("optgroup[label=Connections] option")).to_have_count(100)
    await page.get_by_label("Find whom to ask").fill("DESK-14")
    await expect(page.get_by_text("10 found")).to_be_visible()
    await asked.select_option("desk-149")
    # What is chosen stays, whatever is searched for next.
    await page.get_by_label("Find whom to ask").fill("nobody")
    await expect(asked).to_have_value("desk-149")
    await check_accessibility(page)


async def test_a_new_chat_asks_before_it_hangs_up_on_a_call_by_voice(console: Console) -> None:
    asked: list[str] = []

    async def answer(dialog: Dialog) -> None:
        asked.append(dialog.message)
        await (dialog.dismiss() if len(asked) == 1 else dialog.accept())

    page = await console.signed_in("admin", STUDIO)
    page.on("dialog", answer)
    calling = asyncio.Event()
    # Nobody answers, so that the call is one that goes on.
    await page.route("**/api/chats/call", lambda _: calling.set())
    await page.get_by_role("button", name="New chat").click()
    assert asked == []
    await page.get_by_label("Your message").fill("typed")
    await page.get_by_role("button", name="Voice on").click()
    await asyncio.wait_for(calling.wait(), 30)
    await page.get_by_role("button", name="New chat").click()
    await expect(page.get_by_text("Calling an agent")).to_be_visible()
    await expect(page.get_by_label("Your message")).to_have_value("typed")
    await page.get_by_role("button", name="New chat").click()
    await expect(page.get_by_role("button", name="Voice on")).to_be_visible()
    await expect(page.get_by_label("Your message")).to_have_value("")
    assert asked == ["You are talking by voice. Hang up and leave?"] * 2
