"""Owns the replies that this process writes, from their claim to their end."""

import asyncio
import logging
from contextlib import AsyncExitStack, ExitStack
from functools import partial

from agent.text.draft import Draft, SupersededError
from agent.text.parts import Asked, ReplyParts
from agent.text.reply import TextReply, apology
from agent.text.setup import TextSetup
from llm_router.clock import Clock
from llm_router.errors import NotFoundError, StoreError
from llm_router.periodic import log_bug
from llm_router.routing.router import Router
from llm_router.store.calls import CallStore
from llm_router.store.database import Database
from llm_router.store.messages import Messages
from llm_router.store.text_calls import TextCalls
from llm_router.voice.calls import Call

_logger = logging.getLogger("agent")


class Writers:
    """The replies in progress, one of a room at a time. `aclose` leaves them to other processes."""

    def __init__(self, setup: TextSetup, database: Database, clock: Clock) -> None:
        self._parts = ReplyParts(setup, clock, partial(Messages, database))
        self._database = database
        self._clock = clock
        self._drafts: dict[str, Draft] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_closed = False

    def draft_in(self, room: str) -> Draft | None:
        """Returns the reply that this process writes in a room, if any."""
        return self._drafts.get(room)

    def draft(self, call: Call) -> Draft | None:
        """Returns the reply of a call that this process writes, if any."""
        draft = self._drafts.get(call.room)
        return draft if draft and draft.call.id == call.id else None

    def start(self, asked: Asked, router: Router, place: ExitStack) -> None:
        """Begins to write a reply; `place` is closed at its end.

        Once this process closes, the reply is left to another one.
        """
        if self.is_closed:
            place.close()
            return
        draft = Draft(
            TextCalls(self._database),
            CallStore(self._database),
            asked.call,
            self._clock,
            redacts_cards=asked.answerer.redacts_cards,
            asked=asked.new,
        )
        self._drafts[asked.call.room] = draft
        task = asyncio.create_task(self._run(asked, draft, router, place), name="reply in writing")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(log_bug)

    async def aclose(self) -> None:
        self.is_closed = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self, asked: Asked, draft: Draft, router: Router, place: ExitStack) -> None:
        async with AsyncExitStack() as made:
            try:
                await self._write(asked, draft, router, made)
            except SupersededError:
                _logger.debug("a reply in writing goes on elsewhere")
            except (StoreError, NotFoundError) as error:
                _logger.warning("the end of a reply in writing is not stored: %s", error)
            except asyncio.CancelledError:
                await draft.leave()
                raise
            finally:
                if self._drafts.get(asked.call.room) is draft:
                    del self._drafts[asked.call.room]
                draft.close()
                place.close()

    async def _write(
        self, asked: Asked, draft: Draft, router: Router, made: AsyncExitStack
    ) -> None:
        """Writes a reply to its end, with tools that `made` closes; a bug ends it with an apology.

        Raises SupersededError, NotFoundError and StoreError.
        """
        try:
            tools = self._parts.tools(asked, draft.hang_up)
            made.push_async_callback(tools.aclose)
            await TextReply(self._parts.task(asked, draft, router, tools)).write()
        except (SupersededError, StoreError, NotFoundError):
            raise
        except Exception:  # left as it is, the reply would be begun again and again
            _logger.exception("a bug in a reply in writing")
            words = self._parts.phrase(asked, "closing" if draft.said else "sorry")
            await draft.finish(apology(draft, words, self._clock), "")
