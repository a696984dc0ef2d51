"""Conversations in writing over HTTP: the reply, its events, who may read it, and its limits."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from agent.dispatch import Dispatch
from agent.reception import Move
from agent.text.conversations import Message
from agent.text.following import FOLLOW_EVERY
from agent.text.news import Item, Place, Words
from agent.text.resume_token import Conversation
from agent.visitor_gate import Visitor as LetIn
from agent.visits import Visit
from llm_router.clock import SystemClock, utc_now
from llm_router.store.database import Database
from llm_router.store.text_calls import TextCalls
from llm_router.testing.server import Fault, FaultyServer, Script
from llm_router.types import ToolCall
from llm_router.voice.calls import CallAgent, CallItem
from tests.contracts.databases import Server
from tests.contracts.gateway import problem
from tests.contracts.texting import Texting, Visitor, events_of, texting

ANSWER = Script(words=["We ", "open ", "at ", "nine."], gap=0.002)
SLOW = Script(words=[f"word{number} " for number in range(40)], gap=0.03)
FORGED_TOKEN = "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl"
CARD = "4111 1111 1111 1111"
STORED = {"call_retention": "transcript"}


@pytest.fixture
async def served(database: Database, tmp_path: Path) -> AsyncIterator[Texting]:
    async with texting(database, tmp_path, ANSWER) as served:
        yield served


async def stored(served: Texting, visitor: Visitor) -> list[CallItem]:
    found = await TextCalls(served.database).read(served.talk(visitor).room)
    return found[1] if found else []


async def test_a_message_is_answered_with_its_reply_as_events(served: Texting) -> None:
    visitor = await served.visiting()
    answer = await visitor.say("When do you open?")
    assert answer.headers["content-type"].startswith("text/event-stream")
    items = [event for event in visitor.seen if event.name == "item"]
    said = [(event.data["role"], event.data["text"]) for event in items]
    assert said[1:] == [("user", "When do you open?"), ("assistant", "We open at nine.")]
    assert items[1].data["id"] == "message-0001"
    assert visitor.seen[-1].name == "end"
    assert visitor.seen[-1].data == {"state": "text"}
    asked = served.model.requests[0].messages
    assert [each["role"] for each in asked] == ["system", "assistant", "user"]


class Sleeps(SystemClock):
    """Notes for how many seconds somebody has slept."""

    def __init__(self) -> None:
        self.seconds: set[float] = set()

    async def sleep(self, seconds: float) -> None:
        self.seconds.add(seconds)
        await super().sleep(seconds)


async def test_the_end_of_a_reply_is_read_at_once_by_those_beside_its_writer(
    database: Database, tmp_path: Path
) -> None:
    clock = Sleeps()
    async with texting(database, tmp_path, SLOW, clock=clock) as served:
        await (await served.visiting()).reply_to("When do you open?")
    assert FOLLOW_EVERY not in clock.seconds
    assert clock.seconds  # its writer has paused between two writes


async def test_the_next_question_comes_with_what_was_said_before(served: Texting) -> None:
    visitor = await served.visiting()
    await visitor.reply_to("When do you open?")
    await visitor.reply_to("And on Sunday?")
    roles = [each["role"] for each in served.model.requests[1].messages]
    assert roles == ["system", "assistant", "user", "assistant", "user"]


async def test_a_reader_who_comes_back_gets_the_rest_and_no_word_twice(
    database: Database, tmp_path: Path
) -> None:
    async with texting(database, tmp_path, SLOW) as served:
        visitor = await served.visiting()
        talk = served.talk(visitor)
        place = await served.conversations.ask(talk, LetIn("1.2.3.4", None), Message("m-1", "Go."))
        for leaves_after in (1, 2, 3, 1_000):
            words = 0
            async with aclosing(served.conversations.follow(talk, place)) as all_news:
                async for news in all_news:
                    if isinstance(news, Words):
                        words += 1
                        served.given += news.text
                    if isinstance(news, Item) and news.item.role == "assistant":
                        whole = news.item.text
                    place = getattr(news, "place", place)
                    if words == leaves_after:
                        break
    assert served.given
    assert whole.startswith(served.given)
    assert whole == "".join(SLOW.words).rstrip() or whole == "".join(SLOW.words)


async def test_a_message_sent_again_is_not_answered_again(served: Texting) -> None:
    visitor = await served.visiting()
    first = events_of((await visitor.say("Hello?", "message-one")).text)
    again = events_of((await visitor.say("Hello?", "message-one")).text)
    assert [event.data["text"] for event in again[:2]] == ["Hello?", "We open at nine."]
    ids = [[event.id for event in events if event.name == "item"] for events in (first, again)]
    assert ids == [["1.0", "2.0", "3.0"], ["2.0", "3.0"]]
    assert len(served.model.requests) == 1


async def test_a_page_that_says_how_far_it_has_read_also_gets_what_another_tab_has_said(
    served: Texting,
) -> None:
    visitor = await served.visiting()
    await visitor.say("When do you open?")
    await visitor.say("And on Sunday?")
    answer = await visitor.say("And on Monday?", after="3.0")
    items = [event for event in events_of(answer.text) if event.name == "item"]
    assert [event.id for event in items] == ["4.0", "5.0", "6.0", "7.0"]
    assert [event.data["text"] for event in items][::2] == ["And on Sunday?", "And on Monday?"]
    ahead = await visitor.say("And on Tuesday?", after="99.0")
    assert [event.id for event in events_of(ahead.text) if event.name == "item"] == ["8.0", "9.0"]
    problem(await visitor.say("Hello?", after="nowhere"), 422, "invalid-request")


@pytest.mark.parametrize("chosen", ["voiced-3", "lost-100", "visitor-1"])
async def test_a_visitor_who_chooses_an_id_of_the_servers_own_hides_no_item(
    served: Texting, chosen: str
) -> None:
    visitor = await served.visiting()
    await visitor.say("Hello?", chosen)
    asked = next(event for event in visitor.seen if event.data.get("role") == "user")
    assert asked.data["id"] == chosen
    (item,) = [item for item in await stored(served, visitor) if item.role == "user"]
    own = CallItem(id=chosen, role="assistant", created_at=item.created_at)
    call = await served.calls.going_on(served.talk(visitor).room)
    assert call
    assert await served.calls.append(call.id, [own], item.created_at) == call.items + 1


async def test_of_two_messages_at_once_one_waits(database: Database, tmp_path: Path) -> None:
    async with texting(database, tmp_path, SLOW) as served:
        visitor = await served.visiting()
        tabs = [served.visitor(token=visitor.token) for _ in range(2)]
        answers = await asyncio.gather(
            *(tab.say("Hello?", f"message-{n}") for n, tab in enumerate(tabs))
        )
        codes = sorted(answer.status_code for answer in answers)
        assert codes == [200, 429]
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.headers["Retry-After"] == "1"
        assert len(served.model.requests) == 1


async def test_fifty_visitors_at_once_are_all_answered_on_few_connections(
    server: Server, tmp_path: Path
) -> None:
    few = Database(await server.new(), patience=0.1, answer_within=30.0, max_connections=3)
    async with aclosing(few), texting(few, tmp_path, ANSWER) as served:
        visitors = [await served.visiting() for _ in range(50)]
        talks = [served.talk(visitor) for visitor in visitors]

        async def said(number: int) -> list[str]:
            let_in = LetIn(f"198.51.100.{number}", None)
            message = Message("message-0001", "When do you open?")
            place = await served.conversations.ask(talks[number], let_in, message)
            async with aclosing(served.conversations.follow(talks[number], place)) as all_news:
                return [news.item.text async for news in all_news if isinstance(news, Item)]

        replies = await asyncio.gather(*(said(number) for number in range(50)))
        greeting = replies[0][0]
        assert replies == [[greeting, "When do you open?", "We open at nine."]] * 50
        assert len(served.model.requests) == 50


# ── Who may read ─────────────────────────────────────────────────────────────────────────────────


async def test_no_token_opens_another_visitors_conversation(served: Texting) -> None:
    ann, ben = await served.visiting(), await served.visiting()
    await ann.reply_to("My secret is blue.")
    assert [event.name for event in await ben.read()] == ["end"]
    for token in ("", FORGED_TOKEN, ann.token[:-4] + "AAAA", "x" * 5_000):
        stranger = served.visitor(token=token)
        for method, path in (
            ("GET", "/conversation/events"),
            ("GET", "/conversation/transcript"),
            ("DELETE", "/conversation"),
        ):
            problem(await stranger.ask(method, path), 401, "unknown-conversation")
        problem(await stranger.say("Hello?"), 401, "unknown-conversation")


async def test_a_token_is_of_its_site_and_of_its_time(served: Texting) -> None:
    shop = await served.site()
    blog = await served.site(name="blog", origins=["https://blog.example"])
    ann = await served.visiting(site=shop)
    await ann.reply_to("Hello?")
    thief = served.visitor(site=blog, origin="https://blog.example", token=ann.token)
    problem(await thief.ask("GET", "/conversation/events"), 401)
    problem(await served.visitor(token=ann.token).ask("GET", "/conversation/events"), 401)
    talk = Conversation(visit=Visit.begin(), site="shop")
    old = served.tokens.sign(talk, SystemClock().wall() - 8 * 86_400)
    problem(await served.visitor(site=shop, token=old).ask("GET", "/conversation/events"), 401)


async def test_pages_of_other_origins_are_refused_and_programs_without_one_are_not(
    served: Texting,
) -> None:
    shop = await served.site()
    elsewhere = served.visitor(site=shop, origin="https://evil.example")
    problem(await elsewhere.begin(), 403, "origin-not-allowed")
    problem(await served.visitor(site="site_unknown").begin(), 403, "unknown-site")
    program = served.visitor(site=shop, origin="")
    assert (await program.begin()).status_code == 201


async def test_a_site_for_talking_alone_takes_no_message(served: Texting) -> None:
    visitor = await served.visiting(site=await served.site(modes=["voice"]))
    problem(await visitor.say("Hello?"), 403, "mode-not-allowed")


async def test_a_visitor_saves_the_conversation_and_deletes_it(served: Texting) -> None:
    visitor = await served.visiting()
    await visitor.reply_to("When do you open?")
    saved = await visitor.ask("GET", "/conversation/transcript")
    assert "attachment" in saved.headers["content-disposition"]
    assert re.match(r"\[\d{4}-\d\d-\d\d \d\d:\d\d UTC\] ", saved.text)
    assert "Visitor: When do you open?" in saved.text
    assert "Assistant: We open at nine." in saved.text
    assert (await visitor.ask("DELETE", "/conversation")).status_code == 204
    assert [event.data for event in await visitor.read("3.0")] == [{"state": "none"}]
    assert (await visitor.ask("DELETE", "/conversation")).status_code == 204
    assert (await visitor.ask("GET", "/conversation/transcript")).text == ""


# ── Limits ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_message_beyond_a_limit_is_refused_and_asks_no_model(
    database: Database, tmp_path: Path
) -> None:
    limits = {"message_max_characters": 100, "call_max_turns": 2, "turns_per_minute": 0}
    async with texting(database, tmp_path, ANSWER, settings=limits) as served:
        visitor = await served.visiting()
        problem(await visitor.say("x" * 101), 422, "message-too-long")
        problem(await visitor.say("x" * 1_000_000), 413, "body-too-large")
        problem(await visitor.say("   "), 422)
        problem(await visitor.say("Hello?", "bad id"), 422)
        await visitor.reply_to("One.")
        await visitor.reply_to("Two.")
        problem(await visitor.say("Three."), 409, "conversation-spent")
        assert len(served.model.requests) == 2


async def test_messages_in_quick_succession_are_refused_until_a_minute_is_over(
    database: Database, tmp_path: Path
) -> None:
    async with texting(database, tmp_path, ANSWER, settings={"turns_per_minute": 2}) as served:
        visitor = await served.visiting()
        await visitor.reply_to("One.")
        await visitor.reply_to("Two.")
        problem(await visitor.say("Three."), 429, "rate-limited")


async def test_a_flood_is_refused_before_anything_is_read(
    database: Database, tmp_path: Path
) -> None:
    async with texting(database, tmp_path, ANSWER, limits="5/minute") as served:
        codes = [(await served.visitor().begin()).status_code for _ in range(200)]
        assert codes.count(201) == 5
        assert codes.count(429) == 195
        visitor = served.visitor(token=FORGED_TOKEN)
        codes = [(await visitor.say("Hello?")).status_code for _ in range(200)]
        assert (codes.count(401), codes.count(429)) == (5, 195)
    assert not served.model.requests


async def test_a_site_whose_money_is_spent_takes_no_message(served: Texting) -> None:
    visitor = await served.visiting(site=await served.site(calls_per_visitor=1))
    await visitor.reply_to("One.")
    await visitor.reply_to("Two.")
    another = await served.visiting(site=visitor.site)
    problem(await another.say("Hello?"), 429, "rate-limited")


async def test_a_conversation_has_so_many_readers_and_no_more(
    database: Database, tmp_path: Path
) -> None:
    async with texting(database, tmp_path, SLOW) as served:
        visitor = await served.visiting()
        talk = served.talk(visitor)
        place = await served.conversations.ask(talk, LetIn("1.2.3.4", None), Message("m-1", "Go."))
        readers = [served.conversations.follow(talk, place) for _ in range(9)]
        outcomes = await asyncio.gather(*map(anext, readers), return_exceptions=True)
        assert sum(isinstance(each, Exception) for each in outcomes) == 1
        for reader in readers:
            await reader.aclose()


# ── Failures ─────────────────────────────────────────────────────────────────────────────────────


async def test_without_a_model_there_is_an_apology_which_no_model_reads_later(
    database: Database, tmp_path: Path
) -> None:
    broken = Script(fault=Fault.STATUS, status=503)
    async with texting(database, tmp_path, broken) as served:
        visitor = await served.visiting()
        sorry = await visitor.reply_to("When do you open?")
        assert "afraid" in sorry or "sorry" in sorry
        await served.model.behave(ANSWER)
        assert await visitor.reply_to("Are you there?") == "We open at nine."
        assert sorry not in json.dumps(served.model.requests[-1].messages)


async def test_a_reply_that_its_process_leaves_is_continued_by_the_next(
    database: Database, tmp_path: Path
) -> None:
    async with FaultyServer(SLOW) as model:
        async with texting(database, tmp_path, model=model) as first:
            visitor = await first.visiting()
            talk = first.talk(visitor)
            await first.conversations.ask(talk, LetIn("1.2.3.4", None), Message("m-1", "Go."))
            async with aclosing(first.conversations.follow(talk, Place())) as all_news:
                given, place = "", Place()
                async for news in all_news:
                    place = getattr(news, "place", place)
                    given += news.text if isinstance(news, Words) else ""
                    if given.count("word") > 5:
                        break
        await model.behave(Script(words=["and ", "the ", "end."]))
        async with texting(database, tmp_path, model=model) as second:
            items = [
                news.item
                async for news in second.conversations.follow(talk, place)
                if isinstance(news, Item)
            ]
    (reply,) = items
    assert reply.text.startswith(given)
    assert reply.text.endswith("the end.")
    assert reply.text.count("word3 ") == 1


async def test_a_bug_before_the_first_word_ends_in_an_apology_and_gives_the_place_back(
    served: Texting, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = await served.visiting()
    monkeypatch.setattr("agent.text.parts.recall_items", lambda *_: 1 / 0)
    for _ in range(5):  # an address has four places
        sorry = await visitor.reply_to("When do you open?")
        assert "afraid" in sorry or "sorry" in sorry
        assert visitor.seen[-1].data == {"state": "text"}
    monkeypatch.undo()
    assert await visitor.reply_to("And now?") == "We open at nine."


async def test_the_model_may_end_the_conversation(database: Database, tmp_path: Path) -> None:
    bye = Script(words=[], tool_calls=[ToolCall("call_1", "end_call", "{}")])
    async with texting(database, tmp_path, bye, settings=STORED) as served:
        visitor = await served.visiting()
        assert await visitor.reply_to("Bye.")
        asked = len(served.model.requests)
        assert visitor.seen[-1].data == {"state": "ended"}
        problem(await visitor.say("Hello?"), 409, "conversation-ended")
        # Its answer was lost on the way: the same message is no message after the end.
        answer = await visitor.say("Bye.", "message-0001")
        assert answer.status_code == 200, answer.text
        again = events_of(answer.text)
        assert [event.data.get("text") for event in again[:1]] == ["Bye."]
        assert again[-1].data == {"state": "ended"}
        assert len(served.model.requests) == asked


async def test_a_card_number_is_for_the_model_and_not_for_the_store(served: Texting) -> None:
    visitor = await served.visiting()
    await visitor.reply_to(f"My card is {CARD}.")
    assert CARD in served.model.requests[0].messages[-1]["content"]
    assert all(CARD not in item.text for item in await stored(served, visitor))


# ── Voice ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_conversation_moves_to_a_room_and_back(served: Texting) -> None:
    visitor = await served.visiting()
    await visitor.reply_to("When do you open?")
    talk = served.talk(visitor)
    move = await served.conversations.to_voice(talk, LetIn("1.2.3.4", None))
    agent_is = Dispatch(caller=move.dispatch.caller, assistant="default", epoch=2, planned=True)
    assert move == Move(visit=talk.visit, dispatch=agent_is, is_new=True)
    problem(await visitor.say("And on Sunday?"), 409, "conversation-in-call")
    assert (await visitor.read("9.9"))[-1].data == {"state": "agent"}
    now = utc_now(SystemClock())
    agent = CallAgent(identity="agent", worker="w", job="j")
    call = await served.calls.claim(talk.room, 2, agent, now)
    assert call is not None
    spoken = CallItem(id="s1", role="user", text="Is it cold?", epoch=2, created_at=now)
    await served.calls.append(call.id, [spoken], now)
    assert await served.calls.end(call.id, "caller left", now, epoch=2)
    assert await visitor.reply_to("And on Sunday?") == "We open at nine."
    assert "Is it cold?" in json.dumps(served.model.requests[-1].messages)


async def test_a_room_without_a_place_gives_the_conversation_back(served: Texting) -> None:
    visitor = await served.visiting()
    talk = served.talk(visitor)
    move = await served.conversations.to_voice(talk, LetIn("1.2.3.4", None))
    assert (move.dispatch.epoch, move.dispatch.planned) == (1, False)
    await served.conversations.back(move)
    assert await visitor.reply_to("When do you open?") == "We open at nine."
