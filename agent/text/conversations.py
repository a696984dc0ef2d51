"""Carries out what visitors do with their conversations: ask, read on, move to a room, delete."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import uuid4

from agent.dispatch import Dispatch, SiteTerms, hash_caller
from agent.reception import Move
from agent.survival.identity import AGENT_NAME, DEATHS, ROOM_ID, TERMS
from agent.survival.remains import left_items, lost_tools
from agent.text.crowd import Crowd
from agent.text.following import Followers
from agent.text.history import is_left, is_talking, is_written, own_language, refusal_of
from agent.text.news import VISITORS, News, Place
from agent.text.parts import Asked
from agent.text.refusals import elsewhere, over, refused
from agent.text.resume_token import Conversation
from agent.text.setup import Answerer, TextSetup
from agent.text.writers import Writers
from agent.visitor_gate import Visitor
from agent.visitor_sites import VisitorSites
from agent.visits import Visit
from llm_router.clock import Clock, utc_now
from llm_router.errors import BusyError, NotFoundError, RouterError, StoreError
from llm_router.periodic import log_bug
from llm_router.store.calls import CallStore
from llm_router.store.database import Database
from llm_router.store.text_calls import TextCalls
from llm_router.voice.calls import (
    LANGUAGE,
    MAX_ITEMS,
    PAGE_CONTEXT,
    Call,
    CallAgent,
    CallFacts,
    CallItem,
)
from llm_router.voice.page_context import PageContext
from llm_router.voice.redaction import redact
from llm_router.voice.site import account_of

_logger = logging.getLogger("agent")

_SITE = "site"
"""Key in a call's metadata of the site that its visitor came from."""
_PAGE_LANGUAGE = "page_language"
"""Key in that metadata of the page's language, where the assistant has it. A page that changes its
language asks for the new one."""

_STORE_WITHIN = 0.5
"""Seconds for the database, where a caller waits for an answer that does not need it."""

Waits = Callable[[str], Awaitable[bool]]
"""Returns whether the visitor of a room waits for a line there."""


async def _no_queue(_: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a visitor. Sent again under the same `id` it is the same message."""

    id: str
    text: str
    context: PageContext | None = None
    """The page's account of itself or of the visitor by now."""
    language: str = ""
    """Tag of the page's language."""

    @property
    def item_id(self) -> str:
        """The id of its item, which none of the server's own has, whatever a visitor chooses."""
        return VISITORS + self.id


class Conversations:
    """The conversations in writing, as this process has them. Close it at the end.

    Its methods raise Problem, BusyError and StoreError.
    """

    def __init__(
        self,
        setup: TextSetup,
        database: Database,
        sites: VisitorSites,
        clock: Clock,
        waits: Waits = _no_queue,
    ) -> None:
        self._setup = setup
        self._waits = waits
        self._sites = sites
        self._clock = clock
        self._store = TextCalls(database)
        self._calls = CallStore(database)
        self._writers = Writers(setup, database, clock)
        self._preparing: asyncio.Task[None] | None = None
        self._replies = Crowd("replies of your address", 300, 4)
        self._followers = Followers(self._store, self._writers, clock)

    def prepare(self) -> None:
        """Begins to load what replies need, so that the first message does not wait for it."""
        if self._preparing is None:
            self._preparing = asyncio.create_task(self._prepare(), name="prepare replies")
            self._preparing.add_done_callback(log_bug)

    async def aclose(self) -> None:
        if self._preparing:
            self._preparing.cancel()
            await asyncio.wait({self._preparing})
        await self._writers.aclose()
        await self._setup.aclose()

    # ── Asking ───────────────────────────────────────────────────────────────────────────────────

    async def ask(self, talk: Conversation, visitor: Visitor, message: Message) -> Place:
        """Stores a message and begins its reply; returns the place after which both are read.

        A message that is stored already is not answered again.
        """
        now = self._clock.wall()
        call, items = await self._store.read(talk.room) or (None, ())
        # First of all: its own reply may have ended the conversation.
        known = next((item for item in items if item.id == message.item_id), None)
        if known is not None:
            return Place(known.number - 1)
        if call and await self._took_back(call, now):
            return await self.ask(talk, visitor, message)
        if call and is_written(call, now):
            raise BusyError("a reply is being written: wait for its end", 1.0)
        with ExitStack() as place:
            place.enter_context(self._replies.taken(visitor.address))
            terms = await self._terms(visitor, call)
            answerer = await self._setup.answerer(call.assistant if call else talk.assistant, terms)
            limits = answerer.limits(terms)
            if refusal := refusal_of(items, len(message.text), now, limits):
                raise refused(refusal)
            router = await self._setup.router(answerer.settings.router_policy)
            language = own_language(message.language, answerer.languages)
            question = self._question(message, call, language)
            greeted = language or answerer.languages[0]
            new = [*self._left(call, items, answerer, greeted), question]
            facts = self._facts(talk, visitor, answerer, message.context, language)
            stored = [_redacted(item) for item in new] if answerer.redacts_cards else new
            claimed = await self._claim(talk, call, stored, facts)
            asked = Asked(
                call=claimed,
                items=[*items, *new],
                new=_numbered(stored, claimed.items),
                answerer=answerer,
                account=_account(talk),
            )
            self._writers.start(asked, router, place.pop_all())
            return Place(claimed.items - len(new))

    async def _took_back(self, call: Call, now: float) -> bool:
        """Takes a conversation back from a room without an agent; returns whether it did.

        Raises Problem if it is in a room with one, or over.
        """
        if call.state == "ended":
            raise over()
        # While all lines are busy, the visitor may type: the agent that comes learns of it.
        is_queued = call.state == "agent" and not call.job and await self._waits(call.room)
        if is_talking(call, now) and not is_queued:
            raise elsewhere()
        if call.state != "agent":
            return False
        await self._store.to_text(call.id, call.epoch, utc_now(self._clock))
        return True

    async def _terms(self, visitor: Visitor, call: Call | None) -> SiteTerms | None:
        """Returns what the visitor's site allows; a conversation that begins is counted."""
        site = visitor.site
        if site is None:
            return None
        if call:
            return self._sites.terms(site)
        caller = hash_caller(visitor.address, self._setup.secret)
        return await self._sites.admit(site, caller)

    def _left(
        self, call: Call | None, items: Sequence[CallItem], answerer: Answerer, language: str
    ) -> Sequence[CallItem]:
        """Returns the items before a question that are not stored yet."""
        now = utc_now(self._clock)
        if call:
            return left_items(call.voiced, lost_tools(call, items), call.epoch + 1, now)
        own = answerer.greeting
        text = self._setup.phrases.pick("greeting", language, 0) if own is None else own
        greeting = CallItem(id=uuid4().hex, role="assistant", text=text, created_at=now)
        return [greeting] if text else []

    def _facts(
        self,
        talk: Conversation,
        visitor: Visitor,
        answerer: Answerer,
        context: PageContext | None,
        language: str,
    ) -> CallFacts:
        # What the page does not say any more is forgotten; its last language is not.
        said = {PAGE_CONTEXT: context.model_dump(mode="json") if context else None}
        noted = {_PAGE_LANGUAGE: language} if language else {}
        return CallFacts(
            assistant=answerer.record.name,
            caller=hash_caller(visitor.address, self._setup.secret),
            keep=answerer.keep,
            keep_days=answerer.record.keep_days,
            metadata={**_metadata(talk), **said, **noted},
        )

    async def _claim(
        self,
        talk: Conversation,
        call: Call | None,
        new: Sequence[CallItem],
        facts: CallFacts,
    ) -> Call:
        """Claims the reply to the last of the new items, and stores them."""
        now = utc_now(self._clock)
        claimed = await self._store.claim(talk.room, call, self._agent(), new, now, facts=facts)
        if claimed is None:
            raise BusyError("another message was sent at the same time: send it again", 1.0)
        return claimed

    def _question(self, message: Message, call: Call | None, language: str) -> CallItem:
        before = call.metadata.get(_PAGE_LANGUAGE, "") if call else ""
        return CallItem(
            id=message.item_id,
            role="user",
            text=message.text,
            receipt={LANGUAGE: language} if language not in {"", before} else {},
            epoch=call.epoch + 1 if call else 1,
            created_at=utc_now(self._clock),
        )

    def _agent(self) -> CallAgent:
        return CallAgent(identity="text", worker=self._setup.worker, job=uuid4().hex)

    # ── Reading ──────────────────────────────────────────────────────────────────────────────────

    def follow(self, talk: Conversation, place: Place) -> AsyncGenerator[News, None]:
        """Returns what comes after a place, until nothing is under way any more.

        A reply whose process is gone is continued here.
        """
        return self._followers.follow(talk.room, place, partial(self._go_on, talk))

    async def _go_on(self, talk: Conversation) -> None:
        """Goes on with a reply whose process is gone, unless another process does so."""
        found = await self._store.read(talk.room)
        if found is None or not is_left(found[0], self._clock.wall()):
            return
        call, items = found
        answerer = await self._setup.answerer(call.assistant, None)
        router = await self._setup.router(answerer.settings.router_policy)
        now, lost = utc_now(self._clock), lost_tools(call, items)
        left = left_items(call.voiced, lost, call.epoch + 1, now) if lost else ()
        begun = "" if lost else call.voiced
        claimed = await self._store.claim(
            talk.room, call, self._agent(), left, now, facts=CallFacts(), voiced=begun
        )
        if claimed is not None:
            asked = Asked(
                call=claimed,
                items=[*items, *left],
                answerer=answerer,
                begun=begun,
                account=_account(talk),
            )
            self._writers.start(asked, router, ExitStack())

    async def whole(self, talk: Conversation) -> Sequence[CallItem]:
        """Returns what was said so far, by either side."""
        found = await self._store.read(talk.room)
        return [item for item in found[1] if item.role != "tool"] if found else ()

    async def remove(self, talk: Conversation) -> None:
        """Deletes a conversation with all that was said in it, also one that goes on."""
        found = await self._store.read(talk.room)
        if found:
            with suppress(NotFoundError):
                await self._calls.remove(found[0].id)

    # ── Moving ───────────────────────────────────────────────────────────────────────────────────

    async def to_voice(self, talk: Conversation, visitor: Visitor) -> Move:
        """Moves a conversation to its room; returns the agent to call there.

        One that is in its room already stays as it is.
        Raises Problem (409) if it has ended, and (503) if its site's money for the day is spent.
        """
        call, is_new = await self._latest(talk), False
        if call is None or call.state == "text":
            facts = self._facts_of_move(talk, visitor)
            call, is_new = await self._store.to_voice(talk.room, utc_now(self._clock), facts), True
            if call is None:
                raise BusyError("the conversation moves already: try again", 1.0)
        if call.state == "ended":
            raise over()
        dispatch = Dispatch(
            caller=call.caller,
            assistant=call.assistant,
            epoch=call.epoch,
            planned=call.epoch > 1,
        )
        return Move(visit=talk.visit, dispatch=dispatch, is_new=is_new)

    def _facts_of_move(self, talk: Conversation, visitor: Visitor) -> CallFacts:
        terms = self._sites.terms(visitor.site) if visitor.site else None
        # What an earlier room and its agents have left is no part of the call that begins.
        left = dict.fromkeys((AGENT_NAME, DEATHS, PAGE_CONTEXT, ROOM_ID))
        limits = {TERMS: terms.model_dump(mode="json") if terms else None}
        return CallFacts(
            assistant=talk.assistant,
            caller=hash_caller(visitor.address, self._setup.secret),
            metadata={**_metadata(talk), **left, **limits},
        )

    async def resting(self, visit: Visit, site: str) -> Conversation | None:
        """Returns the conversation of a visit's room if it goes on in writing; None: none does.

        A call needs no database: None as well while that does not answer in time.
        """
        try:
            async with asyncio.timeout(_STORE_WITHIN):
                found = await self._store.read(visit.room, MAX_ITEMS)
        except (StoreError, TimeoutError):
            return None
        call = found[0] if found else None
        if call is None or call.state != "text" or call.metadata.get(_SITE, "") != site:
            return None
        if await self._waits(visit.room):  # its visitor has typed meanwhile
            return None
        return Conversation(visit=visit, site=site, assistant=call.assistant)

    async def back(self, move: Move) -> None:
        """Takes a conversation back that has moved to a room for which there was no place."""
        found = await self._store.read(move.visit.room, MAX_ITEMS) if move.is_new else None
        if found:
            await self._store.to_text(found[0].id, move.dispatch.epoch, utc_now(self._clock))

    async def free(self, talk: Conversation) -> None:
        """Takes a conversation back that has no room, and in which no agent is alive."""
        call = await self._latest(talk)
        if call and call.state == "agent" and not is_talking(call, self._clock.wall()):
            await self._store.to_text(call.id, call.epoch, utc_now(self._clock))

    async def _latest(self, talk: Conversation) -> Call | None:
        """Returns the conversation without its items."""
        found = await self._store.read(talk.room, MAX_ITEMS)
        return found[0] if found else None

    async def _prepare(self) -> None:
        try:
            await self._setup.prepare()
        except RouterError as error:
            _logger.warning("replies in writing are not prepared: %s", error)
            self._preparing = None


def _account(talk: Conversation) -> str:
    """Returns the account under which the cost of a conversation is counted; empty: none."""
    return account_of(talk.site) if talk.site else ""


def _metadata(talk: Conversation) -> Mapping[str, Any]:
    return {_SITE: talk.site} if talk.site else {}


def _numbered(items: Sequence[CallItem], last: int) -> Sequence[CallItem]:
    """Returns items that were stored, of which the last one has this number."""
    first = last - len(items) + 1
    return [replace(item, number=first + index) for index, item in enumerate(items)]


def _redacted(item: CallItem) -> CallItem:
    return replace(item, text=redact(item.text))
