"""Tests the store of chats on each database, and the replies that a process writes into it."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, aclosing, asynccontextmanager
from datetime import timedelta

import pytest

from llm_router.clock import SystemClock
from llm_router.errors import ConflictError, NotFoundError, QuotaError, StatusError
from llm_router.management.chat_replies import (
    LEFT,
    SHUT_DOWN,
    STOPPED,
    ChatReplies,
    TextStep,
    is_read,
    reply_request,
)
from llm_router.options import ChatLimits
from llm_router.routing.router import Router
from llm_router.store.chat_retention import ChatRetention
from llm_router.store.chat_tree import ChatMessage, Said
from llm_router.store.chats import Chats, ReplyTask
from llm_router.store.database import Database
from llm_router.testing import HANG, ScriptedProvider, Step, fail, open_scripted_router, say
from llm_router.types import Chunk
from tests.contracts.databases import Files, opened

WORDS = "We open at nine."
SPOKEN = say(WORDS, first=0.0, gap=0.0)
HUNG = [*say("We open at ", first=0.0, gap=0.0, finish=None), HANG]


class Yesterday(SystemClock):
    def wall(self) -> float:
        return super().wall() - 86_400


@pytest.fixture
def chats(database: Database) -> Chats:
    return Chats(database)


async def answered(chats: Chats, chat_id: str, question: str, answer: str = WORDS) -> ReplyTask:
    task = await chats.ask("ann", chat_id, question, after=None)
    route = {"connection": "desk"}
    await chats.finish(chat_id, task.reply.number, answer, status="whole", route=route)
    return task


async def texts(chats: Chats, chat_id: str) -> list[str]:
    return [message.content for message in (await chats.read("ann", chat_id)).path]


# ── The store ────────────────────────────────────────────────────────────────────────────────────


async def test_a_chat_shows_its_messages_and_takes_its_title_from_the_first(chats: Chats) -> None:
    chat = await chats.add("ann", {"model": "auto"})
    await answered(chats, chat.id, "When do you open?")
    await answered(chats, chat.id, "And on Sunday?", "Not at all.")
    tree = await chats.read("ann", chat.id)
    assert tree.chat.title == "When do you open?"
    assert await texts(chats, chat.id) == [
        "When do you open?", WORDS, "And on Sunday?", "Not at all.",
    ]  # fmt: skip
    assert tree.chat.characters == sum(len(message.content) for message in tree.messages)
    assert tree.path[1].route == {"connection": "desk"}


async def test_a_chat_may_begin_with_what_was_said_elsewhere(database: Database) -> None:
    chats = Chats(database, limits=ChatLimits(characters=40))
    past: list[Said] = [("assistant", "Hello!"), ("user", "When do\0you open?")]
    chat = await chats.add("ann", {"model": "auto", "title": ""}, past)
    assert (chat.title, chat.current, chat.characters) == ("When do you open?", 2, 23)
    again = await chats.answer_again("ann", chat.id, 2)
    assert [(message.role, message.content) for message in again.path] == [
        ("assistant", "Hello!"), ("user", "When do\ufffdyou open?"),
    ]  # fmt: skip
    with pytest.raises(QuotaError):
        await chats.add("ann", {"model": "auto"}, [("user", "x" * 41)])


async def test_an_edit_and_another_reply_are_branches_that_can_be_chosen(chats: Chats) -> None:
    chat = await chats.add("ann", {"model": "auto", "title": "Mine"})
    await answered(chats, chat.id, "first", "1")
    edit = await chats.ask("ann", chat.id, "first, edited", after=0)
    assert [message.content for message in edit.path] == ["first, edited"]
    await chats.finish(chat.id, edit.reply.number, "2", status="whole", route={})
    again = await chats.answer_again("ann", chat.id, edit.reply.number)
    await chats.finish(chat.id, again.reply.number, "3", status="whole", route={})
    assert await texts(chats, chat.id) == ["first, edited", "3"]
    tree = await chats.choose("ann", chat.id, 1)
    assert [message.content for message in tree.path] == ["first", "1"]
    assert [m.number for m in tree.beside(edit.reply.number)] == [4, again.reply.number]
    assert tree.chat.title == "Mine"
    with pytest.raises(NotFoundError, match="no message 9"):
        await chats.choose("ann", chat.id, 9)


async def test_a_chat_of_another_owner_does_not_exist(chats: Chats) -> None:
    chat = await chats.add("ann", {"model": "auto"})
    await answered(chats, chat.id, "a secret")
    tries = (
        chats.read("bob", chat.id),
        chats.change("bob", chat.id, {"title": "x"}),
        chats.remove("bob", chat.id),
        chats.choose("bob", chat.id, 1),
        chats.ask("bob", chat.id, "x", after=None),
        chats.answer_again("bob", chat.id, 2),
        chats.stop("bob", chat.id, 2, ""),
        chats.follow("bob", chat.id, 2),
    )
    for tried in tries:
        with pytest.raises(NotFoundError, match="there is no chat"):
            await tried
    assert await chats.find("bob", "secret") == ([], 0)


async def test_one_reply_of_a_chat_runs_at_a_time(chats: Chats) -> None:
    chat = await chats.add("ann", {"model": "auto"})
    task = await chats.ask("ann", chat.id, "one", after=None)
    with pytest.raises(ConflictError, match="reply 2 is being written"):
        await chats.ask("ann", chat.id, "two", after=None)
    await chats.stop("ann", chat.id, task.reply.number, STOPPED)
    assert (await answered(chats, chat.id, "two")).question.parent == 2


async def test_a_search_finds_titles_and_words_in_any_case(chats: Chats) -> None:
    street = await chats.add("ann", {"model": "auto"})
    await answered(chats, street.id, "Wo ist die GRÜNE Straße?")
    other = await chats.add("ann", {"model": "auto", "title": "50% off_now"})
    await answered(chats, other.id, "Hello")
    for text, ids in {
        "grüne STRASSE": [street.id],
        "50% OFF_": [other.id],
        "%": [other.id],
        "open at": [other.id, street.id],
        "nothing": [],
    }.items():
        found, total = await chats.find("ann", text)
        assert ([each.chat.id for each in found], total) == (ids, len(ids))
    [first], _ = await chats.find("ann", "grüne")
    assert (first.message, first.excerpt) == (1, "Wo ist die GRÜNE Straße?")
    assert await chats.find("ann", limit=1, offset=1) == (
        (await chats.find("ann"))[0][1:],
        2,
    )


async def test_a_character_that_a_database_cannot_store_is_replaced(chats: Chats) -> None:
    chat = await chats.add("ann", {"model": "auto", "title": "a\0b"})
    await answered(chats, chat.id, "c\0d")
    assert chat.title == "a\ufffdb"
    assert (await texts(chats, chat.id))[0] == "c\ufffdd"


async def test_each_limit_says_which_it_is(database: Database) -> None:
    limits = ChatLimits(messages=4, characters=60, chats=2, owner_characters=80)
    chats = Chats(database, limits=limits)
    one = await chats.add("ann", {"model": "auto"})
    other = await chats.add("ann", {"model": "auto"})
    with pytest.raises(QuotaError, match="you have 2 chats"):
        await chats.add("ann", {"model": "auto"})
    with pytest.raises(QuotaError, match="more than 60 characters"):
        await chats.ask("ann", one.id, "x" * 61, after=None)
    await answered(chats, one.id, "x" * 20)
    await answered(chats, one.id, "x" * 5)
    with pytest.raises(QuotaError, match="this chat has 4 messages"):
        await chats.ask("ann", one.id, "x", after=None)
    with pytest.raises(QuotaError, match="your chats would have more than 80"):
        await chats.ask("ann", other.id, "x" * 30, after=None)
    await chats.remove("ann", one.id)
    await answered(chats, other.id, "x" * 30)


async def test_the_messages_after_one_are_bounded(database: Database) -> None:
    chats = Chats(database, limits=ChatLimits(siblings=2))
    chat = await chats.add("ann", {"model": "auto"})
    await answered(chats, chat.id, "one")
    again = await chats.answer_again("ann", chat.id, 2)
    await chats.finish(chat.id, again.reply.number, "2", status="whole", route={})
    for number in (1, 2):
        with pytest.raises(QuotaError, match="2 messages follow the same one"):
            await chats.answer_again("ann", chat.id, number)
    edit = await chats.ask("ann", chat.id, "one, edited", after=0)
    await chats.finish(chat.id, edit.reply.number, "3", status="whole", route={})
    with pytest.raises(QuotaError, match="2 messages follow the same one"):
        await chats.ask("ann", chat.id, "one, edited again", after=0)
    await answered(chats, chat.id, "two")


async def test_each_stored_character_counts_however_a_reply_ends(database: Database) -> None:
    yesterday = Chats(database, Yesterday())
    chats = Chats(database, limits=ChatLimits(owner_characters=50))
    ids = [(await chats.add("ann", {"model": "auto"})).id for _ in range(3)]
    dead = await yesterday.ask("ann", ids[0], "x" * 5, after=None)
    for length in (3, 10):
        await yesterday.save(ids[0], dead.reply.number, "é" * length)
    stopped = await chats.ask("ann", ids[1], "x" * 5, after=None)
    await chats.save(ids[1], stopped.reply.number, "y" * 10)
    await chats.stop("ann", ids[1], stopped.reply.number, STOPPED)
    late = await chats.save(ids[1], stopped.reply.number, "y" * 20)
    await chats.finish(ids[1], stopped.reply.number, "y" * 20, status="whole", route={})
    whole = await chats.ask("ann", ids[2], "x" * 5, after=None)
    await chats.save(ids[2], whole.reply.number, "z" * 4)
    await chats.finish(ids[2], whole.reply.number, "z" * 10, status="whole", route={})
    assert late == (False, None)
    assert [(await chats.get("ann", id_)).characters for id_ in ids] == [15, 15, 15]
    with pytest.raises(QuotaError, match="your chats would have more than 50"):
        await chats.ask("ann", ids[2], "x" * 6, after=None)


async def test_chats_that_are_not_used_are_deleted_with_their_messages(database: Database) -> None:
    chats = Chats(database)
    chat = await chats.add("ann", {"model": "auto"})
    await answered(chats, chat.id, "x")
    for retention, left in ((None, 1), (timedelta(days=1), 1), (timedelta(), 0)):
        work = ChatRetention(database, SystemClock(), retention)
        await work._step()
        await work.aclose()
        assert (await chats.find("ann"))[1] == left
    assert await chats.find("ann", "x") == ([], 0)


async def test_a_reply_whose_process_died_is_broken_off_and_holds_nothing_up(
    database: Database,
) -> None:
    chats = Chats(database)
    chat = await chats.add("ann", {"model": "auto"})
    task = await Chats(database, Yesterday()).ask("ann", chat.id, "one", after=None)
    await Chats(database, Yesterday()).save(chat.id, task.reply.number, "half a wor")
    [_, reply] = (await chats.read("ann", chat.id)).path
    assert (reply.status, reply.content) == ("broken_off", "half a wor")
    await answered(chats, chat.id, "two")


# ── Replies ──────────────────────────────────────────────────────────────────────────────────────


class Desk:
    """A chat of Ann's and a router over one scripted server."""

    def __init__(self, chats: Chats, router: Router, chat_id: str, **options: float) -> None:
        self.chats, self.router, self.chat_id = chats, router, chat_id
        self.replies = ChatReplies(chats, SystemClock(), **options)
        self.number = 0

    async def ask(self, question: str = "When?") -> ReplyTask:
        task = await self.chats.ask("ann", self.chat_id, question, after=None)
        self.replies.start(task, self.router, reply_request(task), ExitStack())
        self.number = task.reply.number
        return task

    async def read(self, read: int = 0, *, least: int | None = None) -> tuple[str, ChatMessage]:
        """Reads the reply to its end, or until so many characters are here."""
        text, end = "", None
        async with aclosing(self.replies.follow("ann", self.chat_id, self.number, read)) as steps:
            async for step in steps:
                if isinstance(step, TextStep):
                    text += step.text
                    assert step.read == read + len(text)
                    if least is not None and len(text) >= least:
                        break
                else:
                    end = step
        return text, end or await self.stored()

    async def stored(self) -> ChatMessage:
        return (await self.chats.read("ann", self.chat_id)).messages[self.number - 1]

    async def ended(self) -> ChatMessage:
        while (message := await self.stored()).status == "running":
            """Each reading lets the reply go on."""
        return message


@asynccontextmanager
async def at_a_desk(
    database: Database, script: list[Step], **options: float
) -> AsyncIterator[Desk]:
    provider = ScriptedProvider([script])
    async with open_scripted_router({"desk": provider}, SystemClock()) as router:
        chats = Chats(database)
        chat = await chats.add("ann", {"model": "auto", "parameters": {"temperature": 0.5}})
        desk = Desk(chats, router, chat.id, **options)
        yield desk
        await desk.replies.aclose()
    assert provider.open == 0


async def test_a_whole_reply_is_stored_before_its_end_is_said(database: Database) -> None:
    async with at_a_desk(database, SPOKEN) as desk:
        await desk.ask()
        text, end = await desk.read()
        assert (text, end.content, end.status) == (WORDS, WORDS, "whole")
        assert await desk.stored() == end
        assert end.route["connection"] == "desk"
        assert await desk.read() == (WORDS, end)


async def test_a_reader_who_comes_back_gets_the_rest_once(files: Files) -> None:
    script = [Step(0.01, Chunk(text=f"{number} ")) for number in range(50)]
    script.append(Step(0.0, Chunk(finish_reason="stop")))
    async with opened(await files.new()) as database, at_a_desk(database, script) as desk:
        await desk.ask()
        text = ""
        for least in (2, 9, 30, None):
            more, end = await desk.read(len(text), least=least)
            text += more
        assert text == "".join(f"{number} " for number in range(50)) == end.content


async def test_another_process_follows_and_stops_a_reply(database: Database) -> None:
    async with at_a_desk(database, HUNG, save_every=0.01) as desk:
        await desk.ask()
        other = Desk(desk.chats, desk.router, desk.chat_id)
        other.number = desk.number
        text, _ = await other.read(3, least=1)
        assert text == "We open at "[3 : 3 + len(text)]
        stopped = await other.replies.stop("ann", desk.chat_id, desk.number)
        assert (stopped.status, stopped.problem) == ("broken_off", STOPPED)
        _, end = await desk.read()
        assert end.problem == STOPPED


async def test_a_reply_without_a_reader_ends_and_what_there_is_of_it_is_stored(
    database: Database,
) -> None:
    async with at_a_desk(database, HUNG, readerless=0.0, save_every=0.01) as desk:
        await desk.ask()
        end = await desk.ended()
        assert (end.status, end.problem) == ("broken_off", LEFT)
        assert end.content == "We open at "


@pytest.mark.parametrize(
    ("readers", "left_for", "read_elsewhere", "goes_on"),
    [
        (1, 99.0, None, True),
        (0, 9.0, None, True),
        (0, 10.0, None, False),
        (0, 99.0, 9.0, True),
        (0, 99.0, 10.0, False),
    ],
)
def test_a_reply_goes_on_while_it_is_read_and_for_some_seconds_after(
    readers: int, left_for: float, read_elsewhere: float | None, goes_on: bool
) -> None:
    assert is_read(readers, left_for, read_elsewhere, within=10.0) is goes_on


async def test_a_stopped_reply_and_the_end_of_the_process_leave_what_was_said(
    database: Database,
) -> None:
    async with at_a_desk(database, HUNG) as desk:
        await desk.ask()
        await desk.read(least=11)
        stopped = await desk.replies.stop("ann", desk.chat_id, desk.number)
        assert (stopped.content, stopped.problem) == ("We open at ", STOPPED)
        with pytest.raises(ConflictError, match="no running reply"):
            await desk.replies.stop("ann", desk.chat_id, desk.number)
        await desk.ask()
        await desk.read(least=11)
        await desk.replies.aclose()
        end = await desk.stored()
        assert (end.content, end.problem) == ("We open at ", SHUT_DOWN)


async def test_a_failure_is_stored_with_its_reason_and_the_next_question_has_both(
    database: Database,
) -> None:
    async with at_a_desk(database, fail(StatusError(400, code="bad"))) as desk:
        await desk.ask("one?")
        text, end = await desk.read()
        assert (text, end.status) == ("", "broken_off")
        assert "desk: " in end.problem
        task = await desk.ask("two?")
        assert reply_request(task).messages == [{"role": "user", "content": "one?\n\ntwo?"}]
        assert reply_request(task).temperature == 0.5


async def test_a_chat_that_is_removed_ends_its_reply(database: Database) -> None:
    async with at_a_desk(database, HUNG, save_every=0.01) as desk:
        await desk.ask()
        await desk.chats.remove("ann", desk.chat_id)
        await desk.replies.forget(desk.chat_id)
        assert not desk.replies._running


async def test_a_place_is_left_with_the_reply(database: Database) -> None:
    left: list[bool] = []
    async with at_a_desk(database, SPOKEN) as desk:
        task = await desk.chats.ask("ann", desk.chat_id, "?", after=None)
        desk.number = task.reply.number
        place = ExitStack()
        place.callback(lambda: left.append(True))
        desk.replies.start(task, desk.router, reply_request(task), place)
        await desk.read()
        assert len(left) == 1
