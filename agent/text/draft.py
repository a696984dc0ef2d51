"""Holds a reply that is being written: its readers see only what is stored.

Each piece is stored before it is sent, so that another process goes on with the very words that
readers have when this one is killed.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from llm_router.clock import Clock, utc_now
from llm_router.errors import NotFoundError, StoreError
from llm_router.periodic import OutageLog
from llm_router.store.calls import CallStore
from llm_router.store.text_calls import TextCalls
from llm_router.voice.calls import MAX_TEXT, Call, CallItem, CallState
from llm_router.voice.redaction import redact, redact_tools

_logger = logging.getLogger("agent")

_SAVE_EVERY = 0.2
"""Seconds between two savings of new words, and so between the pieces that readers get."""
_BEAT_EVERY = 1.0
"""Seconds from one sign of life to the next, without new words."""
_SAVE_AGAIN_AFTER = (0.3, 1.0, 3.0)
"""Seconds until the end of a reply is stored again where the database did not answer."""


class SupersededError(Exception):
    """The reply belongs to another process by now, or its conversation was deleted."""


class Draft:
    """A reply of one epoch of a call, from its claim to its end. Write it inside `writing`.

    `base` is the number of the newest stored item, `text` the stored words that follow it,
    `items` are those that the reply has added, after `asked`, which were stored with its claim.
    `is_last`: the conversation ends with it. `end`: the conversation's state once the end of the
    reply is stored; None until then.
    """

    def __init__(
        self,
        store: TextCalls,
        calls: CallStore,
        call: Call,
        clock: Clock,
        *,
        redacts_cards: bool,
        asked: Sequence[CallItem] = (),
    ) -> None:
        self.call = call
        self.asked = asked
        self.end: CallState | None = None
        self.base = call.items
        self.text = call.voiced
        self.items: list[CallItem] = []
        self.is_over = False
        self.is_last = False
        self.tools: Callable[[], Sequence[Mapping[str, Any]]] = list
        """Returns the tools that run and may change something."""
        self._store = store
        self._calls = calls
        self._clock = clock
        self._redacts_cards = redacts_cards
        self._said = call.voiced
        self._saving = asyncio.Lock()
        self._more = asyncio.Event()
        self._news = asyncio.Event()
        self._outage = OutageLog(
            "replies in writing are not saved as they grow until the database answers again",
            "replies in writing are saved as they grow again",
        )

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Saves new words in the background. Raises SupersededError out of the block."""
        writer = asyncio.current_task()
        saving = asyncio.create_task(self._save_as_it_grows(), name="save a reply")

        def stop(ended: "asyncio.Task[None]") -> None:
            if writer and not ended.cancelled():
                writer.cancel()

        saving.add_done_callback(stop)
        try:
            yield
        except asyncio.CancelledError:
            if writer and saving.done() and not saving.cancelled():
                writer.uncancel()
                saving.result()  # raises why it has ended
            raise
        finally:
            saving.remove_done_callback(stop)
            saving.cancel()
            await asyncio.wait({saving})

    def begins_at(self, number: int) -> bool:
        """Returns whether a reader of the items up to this number needs nothing but the draft."""
        return self.call.items - len(self.asked) <= number <= self.base

    @property
    def said(self) -> str:
        """All words of the reply since its last item."""
        return self._said

    def add(self, text: str) -> None:
        """Adds words, which readers get once they are stored."""
        self._said = f"{self._said}{text}"[:MAX_TEXT]
        self._more.set()

    def hang_up(self, words: str) -> None:
        """Adds the last words of the conversation, which ends with this reply."""
        self.is_last = True
        self.add(f" {words}" if self._said else words)

    async def save(self) -> None:
        """Stores the words and the tools that run. Raises SupersededError and StoreError."""
        async with self._saving:
            await self._note()

    async def add_item(self, item: CallItem) -> None:
        """Stores an item of the reply, after which new words begin.

        Raises SupersededError and StoreError.
        """
        async with self._saving:
            await self._note()
            item = self._storable(item)
            try:
                number = await self._calls.append(self.call.id, [item], utc_now(self._clock))
            except NotFoundError:
                raise SupersededError from None
            self._grown(item, number)

    async def finish(self, item: CallItem | None, reason: str) -> None:
        """Stores the last item and the end of the reply; with a `reason` the conversation ends.

        Raises SupersededError, and StoreError if the database did not answer several times.
        """
        async with self._saving:
            last = [] if item is None else [self._storable(item)]
            for pause in (*_SAVE_AGAIN_AFTER, None):
                try:
                    now = utc_now(self._clock)
                    call, epoch = self.call, self.call.epoch
                    is_own = await self._store.finish(call.id, epoch, last, now, reason=reason)
                except StoreError:
                    if pause is None:
                        raise
                    await self._clock.sleep(pause)
                    continue
                break
            if not is_own:
                raise SupersededError
            if last:
                self._grown(last[0], self.base + 1)
            self.end = "ended" if reason else "text"

    async def leave(self) -> None:
        """Notes that this process ends, so that another one goes on at once."""
        try:
            async with self._saving:
                await self._note(gone=True)
        except (StoreError, SupersededError):
            _logger.debug("a reply in writing is left to others without a note", exc_info=True)

    def close(self) -> None:
        """Notes that nothing more comes from this process."""
        self.is_over = True
        self._announce()

    async def wait(self, within: float) -> bool:
        """Waits for more than was there when it was called; False: none came in so many seconds."""
        news = self._news
        try:
            async with asyncio.timeout(within):
                await news.wait()
        except TimeoutError:
            return False
        return True

    async def _save_as_it_grows(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_BEAT_EVERY):
                    await self._more.wait()
            except TimeoutError:
                pass  # a sign of life alone
            self._more.clear()
            try:
                await self.save()
                self._outage.succeeded()
            except StoreError as error:
                # A visitor who reads on is worth more than a reply that is resumed to the letter.
                self._outage.failed(error)
                self._show(self._said)
            await self._clock.sleep(_SAVE_EVERY)

    async def _note(self, *, gone: bool = False) -> None:
        text, tools = self._said, list(self.tools())
        stored = redact(text) if self._redacts_cards else text
        is_own = await self._calls.note(
            self.call.id,
            self.call.epoch,
            utc_now(self._clock),
            voiced=stored,
            tools_in_flight=redact_tools(tools) if self._redacts_cards else tools,
            gone=gone,
        )
        if not is_own:
            raise SupersededError
        self._show(text)

    def _show(self, text: str) -> None:
        if text != self.text:
            self.text = text
            self._announce()

    def _grown(self, item: CallItem, number: int) -> None:
        self.items.append(replace(item, number=number))
        self.base = number
        self._said = self.text = ""
        self._announce()

    def _storable(self, item: CallItem) -> CallItem:
        if not self._redacts_cards:
            return item
        tools = redact_tools(item.tool_calls)
        return replace(item, text=redact(item.text), tool_calls=tools)

    def _announce(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
