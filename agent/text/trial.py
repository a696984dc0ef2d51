"""Has an assistant answer that is not published, for the person who edits it. Nothing is stored."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

from agent.text.parts import Asked, ReplyParts
from agent.text.reply import TextReply
from agent.text.setup import TextSetup
from llm_router.clock import Clock, utc_now
from llm_router.voice.assistant import AssistantRecord
from llm_router.voice.calls import MAX_TEXT, Call, CallItem

News = str | CallItem
"""The next words of a reply, or an item of it once it is whole."""


class TrialDraft:
    """A reply that only its reader sees. `news` yields it as it is written, until `close`."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.items: list[CallItem] = []
        self.is_last = False
        self.tools: Callable[[], Sequence[Mapping[str, Any]]] = list
        self._said = ""
        # Bounded by the lengths that the router gives out and by the steps of a reply.
        self._news: asyncio.Queue[News | None] = asyncio.Queue()

    @property
    def said(self) -> str:
        return self._said

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        yield

    def add(self, text: str) -> None:
        text = text[: MAX_TEXT - len(self._said)]
        self._said += text
        self._news.put_nowait(text)

    def hang_up(self, words: str) -> None:
        self.is_last = True
        self.add(f" {words}" if self._said else words)

    async def save(self) -> None:
        """Does nothing: there is no other process that could go on with it."""

    async def add_item(self, item: CallItem) -> None:
        self.items.append(item)
        self._said = ""
        self._news.put_nowait(item)

    async def finish(self, item: CallItem | None, reason: str) -> None:  # noqa: ARG002  why a stored conversation ends
        if item is not None:
            await self.add_item(item)

    def close(self) -> None:
        self._news.put_nowait(None)

    async def news(self) -> AsyncIterator[News]:
        while (news := await self._news.get()) is not None:
            yield news


class Trials:
    """Replies of assistants that are tried."""

    def __init__(self, setup: TextSetup, clock: Clock) -> None:
        self._setup = setup
        self._clock = clock
        self._parts = ReplyParts(setup, clock)

    async def reply(
        self, record: AssistantRecord, items: Sequence[CallItem], account: str
    ) -> AsyncGenerator[News, None]:
        """Yields the reply to the last of the items; without any, the greeting.

        A reader who leaves ends the reply, its tools included. `account` is that under which the
        cost is counted. Raises ConfigurationError and StoreError.
        """
        answerer = await self._setup.answerer_of(record)
        now, name = utc_now(self._clock), f"trial-{uuid4().hex}"
        call = Call(id=name, room=name, last_beat=now, started_at=now, updated_at=now)
        asked = Asked(call=call, items=items, answerer=answerer, account=account)
        if not items:
            usual = self._parts.phrase(asked, "greeting")
            greeting = answerer.greeting
            if text := usual if greeting is None else greeting:
                yield CallItem(id=uuid4().hex, role="assistant", text=text, created_at=now)
            return
        draft = TrialDraft(call)
        writing = asyncio.create_task(self._write(asked, draft), name="reply of a trial")
        try:
            async for news in draft.news():
                yield news
            await writing
        finally:
            writing.cancel()
            await asyncio.wait({writing})

    async def _write(self, asked: Asked, draft: TrialDraft) -> None:
        try:
            async with AsyncExitStack() as made:
                router = await self._setup.router(asked.answerer.settings.router_policy)
                tools = self._parts.tools(asked, draft.hang_up)
                made.push_async_callback(tools.aclose)
                await TextReply(self._parts.task(asked, draft, router, tools)).write()
        finally:
            draft.close()
