"""The console's page of usage, in a real browser over the real API."""

from pathlib import Path
from typing import Any

from playwright.async_api import Page, expect

from llm_router.clock import SystemClock, utc_now
from llm_router.connections.access import Actor
from llm_router.store.api_keys import KeyLimits
from llm_router.store.usage import UsageLog
from llm_router.voice.calls import CallAgent, CallFacts
from tests.console.conftest import Console
from tests.console.seen import check_accessibility, picture
from tests.console.test_connections import connection
from tests.contracts.usage_records import attempt

CLOCK = SystemClock()
ADMIN = Actor("admin", "admin")
USAGE = "/ai-compute/usage"


async def used(console: Console) -> str:
    """Stores two connections and a smooth call on one, and one call that failed over to the other;
    returns the id of the first.
    """
    attic, cellar = await console.services.store.add(ADMIN, [connection(1), connection(2)])
    now = utc_now(CLOCK)
    calls = console.services.calls
    for room, reason in (("smooth", "caller left"), ("failed over", "silence")):
        agent = CallAgent(identity="agent", worker="w1", job=room)
        facts = CallFacts(kind="phone", assistant="shop")
        call = await calls.claim(room, 1, agent, now, facts)
        assert call
        await calls.end(call.id, reason, now)

    def tried(of: Any, room: str, **facts: Any) -> Any:
        known = {"ttft": 0.25, "ttfc": 0.5, "integration": "livekit", "assistant": "shop"}
        return attempt(
            at=now, connection_id=of.id, connection_name=of.name, session_id=room, pool="default",
            **known | facts,
        )  # fmt: skip

    silent = tried(attic, "failed over", outcome="silent", ttft=None, reply_id="2")
    spared = {"role": "failover", "delivered": True, "silence_avoided": 2.5, "reply_id": "2"}
    program = {"integration": "automation", "assistant": "", "reply_id": "3"}
    await UsageLog(console.services.database).append(
        [
            tried(attic, "smooth"),
            silent,
            tried(cellar, "failed over", **spared),
            tried(cellar, "", **program),
        ]
    )
    return attic.id


def row(page: Page, table: str, name: str) -> Any:
    return page.get_by_role("region", name=table).get_by_role("row").filter(has_text=name)


def combobox(page: Page, name: str) -> Any:
    return page.get_by_role("combobox", name=name, exact=True)


async def test_usage_says_when_nothing_was_asked_and_is_accessible(console: Console) -> None:
    page = await console.signed_in("admin", USAGE)
    await expect(page.get_by_text("Nothing was asked in this time.")).to_be_visible()
    await page.get_by_label("Of the last").select_option("30 days")
    await expect(page.get_by_label("Of the last")).to_have_value("month")
    assert "range=month" in page.url
    await check_accessibility(page)


async def test_each_figure_leads_to_the_calls_behind_it(console: Console) -> None:
    await used(console)
    page = await console.signed_in("admin", USAGE)
    await expect(page.get_by_text("How attempts ended")).to_be_visible()
    await expect(page.get_by_text("Calls and their ends")).to_be_visible()
    await picture(page, "console-usage")
    await check_accessibility(page)
    for figure, calls in (("Failovers", 1), ("Silence avoided", 1), ("Replies", 2)):
        card = page.locator(".card").filter(has_text=figure).first
        await card.get_by_role("link").click()
        await expect(page.get_by_role("table").get_by_text("Telephone")).to_have_count(calls)
        await page.go_back()
    await page.get_by_role("row").filter(has_text="silence").get_by_role("link").last.click()
    await expect(page.get_by_text("Ended by: silence")).to_be_visible()
    await expect(page.get_by_role("table").get_by_text("Telephone")).to_have_count(1)
    await check_accessibility(page)
    await page.get_by_role("button", name="Without the filter “Ended by”").click()
    await expect(page.get_by_role("table").get_by_text("Telephone")).to_have_count(2)


async def test_groups_are_compared_and_one_can_be_shown_alone(
    console: Console, tmp_path: Path
) -> None:
    await used(console)
    page = await console.signed_in("admin", USAGE)
    by_connection = "Usage by connection"
    await expect(row(page, by_connection, "server-00001")).to_contain_text("240 ms")
    await combobox(page, "By").select_option("Assistant")
    await expect(row(page, "Usage by assistant", "shop")).to_contain_text("2.50 s")
    await expect(row(page, "Usage by assistant", "no assistant")).to_be_visible()
    await page.get_by_role("button", name="shop").click()
    await expect(page.locator(".card").filter(has_text="Replies").first).to_contain_text("2")
    await combobox(page, "By").select_option("Pool")
    await expect(row(page, "Usage by pool", "default")).to_be_visible()
    await page.get_by_role("button", name="Any assistant").click()
    await combobox(page, "By").select_option("Connection")
    async with page.expect_download() as downloading:
        await page.get_by_role("button", name="Download CSV").nth(2).click()
    file = tmp_path / "usage.csv"
    await (await downloading.value).save_as(file)
    [heads, *lines] = file.read_text(encoding="utf-8-sig").splitlines()
    assert heads.startswith("Connection,Replies,Attempts,Failed,Failovers")
    assert {line.split(",")[0] for line in lines} == {"server-00001", "server-00002"}
    await row(page, by_connection, "server-00001").get_by_role("button").click()
    await expect(page.get_by_text("Connection: server-00001")).to_be_visible()
    await combobox(page, "Show").select_option("First word")
    await expect(page.get_by_role("img", name="First word over time")).to_be_visible()
    assert "show=first" in page.url


async def test_who_may_not_see_calls_sees_figures_without_links(console: Console) -> None:
    await used(console)
    page = await console.signed_in("editor", USAGE)
    await expect(page.get_by_text("Nothing was asked in this time.")).to_be_visible()
    await expect(page.get_by_text("Calls and their ends")).to_have_count(0)
    refused = await page.request.get(f"{console.url}/api/calls/figures")
    assert refused.status == 403


async def test_an_admin_whose_key_has_limits_is_offered_nothing_that_is_refused(
    console: Console,
) -> None:
    of = await used(console)
    limits = KeyLimits(pools=("default",))
    page = await console.signed_in("admin", USAGE, limits)
    figures = page.locator(".card")
    await expect(figures.filter(has_text="Replies").first).to_be_visible()
    await expect(figures.get_by_role("link")).to_have_count(0)
    await expect(page.get_by_text("Calls and their ends")).to_have_count(0)
    await page.goto(f"{console.url}/ai-compute/connections/{of}")
    await expect(page.get_by_role("heading", name="server-00001")).to_be_visible()
    await expect(page.get_by_text("Only admins see who changed what")).to_be_visible()
    await page.keyboard.press("Control+k")
    await page.get_by_role("combobox", name="Type the name").fill("add")
    await expect(page.get_by_role("option")).to_have_text(["Add a connection"])
    await expect(page.get_by_role("alert")).to_have_count(0)
