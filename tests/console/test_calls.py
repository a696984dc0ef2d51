"""The console's pages of calls, in a real browser over the real API."""

import re
from dataclasses import replace

from playwright.async_api import expect

from agent.insights.sessions import Sessions
from agent.insights.spans import read_traces
from agent.presence import worker_present
from llm_router.clock import SystemClock, utc_now
from llm_router.voice.calls import CallAgent, CallFacts, CallItem
from llm_router.voice.workers import WorkerLoad
from tests.console.conftest import Console, hold
from tests.console.seen import check_accessibility, picture
from tests.reports import span, traces

CLOCK = SystemClock()
AGENT = CallAgent(identity="agent-1", worker="worker-1", job="job-1")
HOSTILE = "<img src=x onerror=document.title='spoilt'> **12**"
RECEIPT = {
    "connection": "cellar",
    "model": "qwen3-4b",
    "first_word": 0.41,
    "times": {
        "e2e_latency": 0.92, "end_of_turn_delay": 0.21, "transcription_delay": 0.15,
        "tts_node_ttfb": 0.12,
    },
    "attempts": [
        {
            "connection": "attic", "connection_id": "a", "model": "m", "role": "first",
            "outcome": "unreachable", "started": 0.0, "first_word": None, "duration": 0.25,
            "delivered": False,
        },
        {
            "connection": "cellar", "model": "m", "role": "failover", "outcome": "won",
            "started": 0.25, "first_word": 0.16, "duration": 0.9, "delivered": True,
        },
    ],
}  # fmt: skip
FEW_ARE_PLACED = """() => {
  const seen = [...document.querySelectorAll("ol.said > li")].filter(
    (row) => row.firstElementChild.checkVisibility({ contentVisibilityAuto: true })).length;
  return 0 < seen && seen < 60;
}"""


def said(number: int, role: str, text: str, **fields: object) -> CallItem:
    item = CallItem(id=f"item-{number}", role="user", text=text, created_at=utc_now(CLOCK))
    return replace(item, role=role, **fields)  # type: ignore[arg-type]  # fields of the item


async def begin(console: Console, room: str) -> str:
    claimed = await console.services.calls.claim(
        room, 1, AGENT, utc_now(CLOCK), CallFacts(kind="web", keep="transcript")
    )
    assert claimed
    return claimed.id


async def test_a_call_is_seen_while_it_goes_on_with_the_parts_of_each_wait(
    console: Console,
) -> None:
    page = await console.signed_in("admin", "/ai-compute/calls")
    await expect(page.get_by_text("No call yet")).to_be_visible()
    call_id = await begin(console, "room-1")
    await expect(page.get_by_text("1 call goes on")).to_be_visible()
    await expect(page.get_by_text("With an agent", exact=True).last).to_be_visible()
    await check_accessibility(page)
    await picture(page, "console-calls")
    await page.get_by_role("table").get_by_role("link").click()
    calls = console.services.calls
    question = said(1, "user", HOSTILE)
    answer = said(2, "assistant", "We open at nine.", receipt=RECEIPT)
    await calls.append(call_id, [question, answer], utc_now(CLOCK))
    await expect(page.get_by_text("We open at nine.")).to_be_visible()
    await expect(page.get_by_text(HOSTILE)).to_be_visible()
    assert await page.title() == "Patchbay console"
    await page.get_by_text("The caller waited 920 ms").click()
    await expect(page.get_by_role("link", name="attic")).to_be_visible()
    await expect(page.get_by_text("first word of the model: 410 ms")).to_be_visible()
    await check_accessibility(page)
    await picture(page, "console-call")
    await page.get_by_text("What would have happened").click()
    await page.get_by_role("combobox", name="Ask first").select_option("cellar")
    await expect(page.get_by_text("About 670 ms of silence")).to_be_visible()
    await page.get_by_role("checkbox", name="A filler").uncheck()
    await check_accessibility(page)
    await picture(page, "console-what-if")
    await page.get_by_role("link", name="settings of turn taking").click()
    await expect(page.get_by_text("ENDPOINTING_MIN_DELAY=0.2")).to_be_visible()
    await check_accessibility(page)
    await page.go_back()
    await calls.end(call_id, "caller left", utc_now(CLOCK))
    await expect(page.get_by_text("caller left")).to_be_visible()


async def test_the_board_shows_how_busy_the_workers_are(console: Console) -> None:
    page = await console.signed_in("admin", "/ai-compute/calls")
    await expect(page.get_by_text("0 workers, 0 calls")).to_be_visible()
    load = WorkerLoad(calls=3, load=0.45, limit=0.7, ready=2)
    present = worker_present(
        console.services.database, "desk", CLOCK, lambda: True, worker="w1", load=lambda: load
    )
    async with present:
        await expect(page.get_by_text("1 worker, 3 calls")).to_be_visible()
        await page.get_by_text("1 has a free place").click()
        row = page.get_by_role("row").filter(has_text="w1")
        await expect(row).to_contain_text("45 % of 70 %")
        await expect(row).to_contain_text("for about 1 more")
        await check_accessibility(page)
        await picture(page, "console-workers")


async def test_a_stream_that_is_refused_is_asked_for_again(console: Console) -> None:
    call_id = await begin(console, "room-1")
    page = await console.signed_in("admin", "/ai-compute/calls")
    await expect(page.get_by_text("Updated live")).to_be_visible()
    board = await hold(page, "**/api/calls/stream")
    await page.reload()
    await (await board).fulfill(status=502)
    await expect(page.get_by_text("trying again")).to_be_visible()
    await expect(page.get_by_text("Updated live")).to_be_visible()
    await expect(page.get_by_text("1 call goes on")).to_be_visible()
    one = await hold(page, f"**/api/calls/{call_id}/stream")
    await page.get_by_role("table").get_by_role("link").click()
    await (await one).fulfill(status=502)
    await console.services.calls.append(call_id, [said(1, "user", "Hello?")], utc_now(CLOCK))
    await expect(page.get_by_text("Hello?")).to_be_visible()


async def test_a_session_that_ends_while_a_call_is_followed_asks_for_the_key(
    console: Console,
) -> None:
    call_id = await begin(console, "room-1")
    page = await console.signed_in("admin")
    await expect(page.get_by_text("No connection is stored yet")).to_be_visible()
    stream = await hold(page, f"**/api/calls/{call_id}/stream")
    await page.goto(f"{console.url}/ai-compute/calls/{call_id}")
    refused = await stream
    await expect(page.get_by_role("button", name="Listen")).to_be_visible()
    await console.context.clear_cookies()
    await refused.fulfill(status=401)
    await expect(page.get_by_text("Your session has ended")).to_be_visible()


async def test_who_leaves_while_a_call_is_being_joined_does_not_join_it(console: Console) -> None:
    """Neither while the program for it is loaded nor while the API is asked."""
    call_id = await begin(console, "room-1")
    page = await console.signed_in("admin", f"/ai-compute/calls/{call_id}")
    loading = await hold(page, "**/assets/seat-*.js")
    asking = await hold(page, "**/take-over", "POST")
    asked: list[str] = []
    sockets: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: sockets.append(socket.url))
    usage = page.get_by_role("link", name="Usage")

    await page.get_by_role("button", name="Take over").click()
    program = await loading
    await usage.click()
    await expect(page.get_by_text("Nothing was asked")).to_be_visible()
    async with page.expect_response("**/assets/seat-*.js"):
        await program.continue_()
    await page.go_back()

    await page.get_by_role("button", name="Take over").click()
    answer = await asking
    await usage.click()
    await expect(page.get_by_text("Nothing was asked")).to_be_visible()
    seat = {"server_url": console.url.replace("http", "ws"), "participant_token": "t"}
    async with page.expect_response("**/take-over"):
        await answer.fulfill(json=seat)
    await page.go_back()
    await expect(page.get_by_role("button", name="Take over")).to_be_visible()
    assert len([url for url in asked if url.endswith("/take-over")]) == 1
    assert sockets == []


async def test_a_call_of_another_agent_can_be_read_and_not_supervised(console: Console) -> None:
    sessions = Sessions(console.services.calls, CLOCK, keep="transcript")
    said = {"job_id": "AJ_1", "lk.agent_name": "theirs", "lk.pii.user_transcript": "Hello?"}
    for news in read_traces(traces(span("user_turn", "01", CLOCK.wall(), said))):
        await sessions.note("livekit", news)
    page = await console.signed_in("admin", "/ai-compute/calls?kind=other")
    await page.get_by_role("table").get_by_role("link").click()
    await expect(page.get_by_text("Hello?")).to_be_visible()
    await expect(page.get_by_text("Another agent")).to_be_visible()
    for name in ("Listen", "Take over", "Send"):
        await expect(page.get_by_role("button", name=name)).to_have_count(0)


async def test_of_a_hundred_calls_only_the_rows_in_view_are_drawn(console: Console) -> None:
    page = await console.signed_in("admin", "/ai-compute/calls")
    for number in range(100):
        await begin(console, f"room-{number}")
    await expect(page.get_by_text("100 calls go on")).to_be_visible()
    assert await page.locator("tbody tr").count() < 60
    await picture(page, "console-hundred-calls")


async def test_a_long_call_is_placed_where_it_is_seen_and_a_search_finds_all_of_it(
    console: Console,
) -> None:
    call_id = await begin(console, "room-1")
    items = [
        said(number, "assistant" if number % 2 else "user", f"This is item {number}.")
        for number in range(1, 201)
    ]
    for first in range(0, len(items), 100):
        await console.services.calls.append(call_id, items[first : first + 100], utc_now(CLOCK))
    page = await console.signed_in("admin", f"/ai-compute/calls/{call_id}")
    rows = page.locator("ol.said > li")
    await expect(rows).to_have_count(len(items))
    await page.wait_for_function(FEW_ARE_PLACED)
    assert await page.evaluate("window.find('This is item 199.')")
    await expect(page.get_by_text("This is item 199.")).to_be_in_viewport()
    before = await page.evaluate("window.isSame = performance.timeOrigin")
    await rows.nth(197).get_by_role("link", name="Ask others").click()
    await expect(page).to_have_url(re.compile("/ai-compute/chat.*item=198"))
    assert await page.evaluate("window.isSame") == before, "the page was not loaded anew"


async def test_callers_words_are_for_admins_alone(console: Console) -> None:
    page = await console.signed_in("editor", "/ai-compute/calls")
    await expect(page.get_by_text("Callers' words are for admins")).to_be_visible()
