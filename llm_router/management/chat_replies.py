"""Writes the replies of stored chats, and lets readers follow them, leave and come back.

A reply is a text that grows; a reader's place in it is the number of characters that it has read.
So to come back needs no list of events: the rest of the text is sent from there. Another process
than the one that writes a reply follows it in the database, where it is saved every two seconds.
"""

import asyncio
import io
import logging
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field, replace

from llm_router.clock import Clock
from llm_router.errors import ConflictError, ReplyFailedError, StoreError
from llm_router.management.chat_receipts import route_of
from llm_router.periodic import log_bug
from llm_router.routing.events import ReplyEvent
from llm_router.routing.reply import Reply
from llm_router.routing.router import Router
from llm_router.store.chat_tree import Chat, ChatMessage, Status, request_messages, storable
from llm_router.store.chats import Chats, ReplyTask
from llm_router.types import ChatRequest

_logger = logging.getLogger("llm_router")

_SAVE_EVERY = 2.0
"""Seconds between two savings of a running reply, and between two questions whether it is read."""
_FOLLOW_EVERY = 1.0
"""Seconds between two readings of a reply that another process writes."""
_SAVE_AGAIN_AFTER = (0.5, 2.0)
"""Seconds until the end of a reply is stored again where the database did not answer."""
READERLESS = 10.0
"""Seconds for which a reply goes on without a reader."""
LEFT, STOPPED, SHUT_DOWN = "its reader left", "stopped", "the process that wrote it ended"
_BUG = "something broke here; the log of the HTTP process says what"


@dataclass(frozen=True, slots=True)
class TextStep:
    """The next piece of a reply; `read` counts the characters up to its end."""

    text: str
    read: int


class ChatReplies:
    """The replies that this process writes. `aclose` ends them; they are stored as broken off.

    `readerless`: seconds for which a reply goes on without a reader. `save_every`: seconds between
    two savings.
    """

    def __init__(
        self,
        chats: Chats,
        clock: Clock,
        *,
        readerless: float = READERLESS,
        save_every: float = _SAVE_EVERY,
    ) -> None:
        self._chats = chats
        self._clock = clock
        self._readerless = readerless
        self._save_every = save_every
        self._running: dict[tuple[str, int], _Running] = {}

    def start(
        self,
        task: ReplyTask,
        router: Router,
        request: ChatRequest,
        place: ExitStack,
    ) -> None:
        """Begins to write a reply; `place` is closed at its end."""
        running = _Running(task, left_at=self._clock.now())
        self._running[task.chat.id, task.reply.number] = running
        running.task = asyncio.create_task(
            self._run(running, router.stream(request), place), name="reply of a chat"
        )
        running.task.add_done_callback(log_bug)

    async def follow(
        self, owner: str, chat_id: str, number: int, read: int = 0
    ) -> AsyncGenerator[TextStep | ChatMessage, None]:
        """Yields what comes after the first `read` characters of a reply, then the whole message.

        Raises NotFoundError, also when the chat is removed meanwhile, and StoreError.
        """
        message = await self._chats.follow(owner, chat_id, number)
        running = self._running.get((chat_id, number))
        if running is None:
            following = self._follow_stored(owner, chat_id, message, read)
        else:
            following = self._follow_running(running, read)
        async with aclosing(following) as steps:
            async for step in steps:
                yield step

    async def stop(self, owner: str, chat_id: str, number: int) -> ChatMessage:
        """Ends a reply, whichever process writes it; returns what there is of it.

        Raises NotFoundError, and ConflictError for a message that is not running.
        """
        message = await self._chats.follow(owner, chat_id, number)
        if message.status != "running":
            raise ConflictError(f"message {number} is no running reply")
        if running := self._running.get((chat_id, number)):
            running.end(STOPPED)
            await running.wait()
        return await self._chats.stop(owner, chat_id, number, STOPPED)

    async def forget(self, chat_id: str) -> None:
        """Ends the replies of a chat that has been removed."""
        ended = [running for (id_, _), running in self._running.items() if id_ == chat_id]
        for running in ended:
            running.end(STOPPED)
        for running in ended:
            await running.wait()

    async def aclose(self) -> None:
        for running in self._running.values():
            running.end(SHUT_DOWN)
        if tasks := [running.task for running in self._running.values() if running.task]:
            await asyncio.wait(tasks)

    async def _follow_running(
        self, running: "_Running", read: int
    ) -> AsyncGenerator[TextStep | ChatMessage, None]:
        running.readers += 1
        try:
            while True:
                news = running.news
                if text := running.after(read):
                    read += len(text)
                    yield TextStep(text, read)
                elif running.result:
                    yield running.result
                    return
                else:
                    await news.wait()
        finally:
            running.readers -= 1
            running.left_at = self._clock.now()

    async def _follow_stored(
        self, owner: str, chat_id: str, message: ChatMessage, read: int
    ) -> AsyncGenerator[TextStep | ChatMessage, None]:
        while True:
            if text := message.content[read:]:
                read += len(text)
                yield TextStep(text, read)
            if message.status != "running":
                yield message
                return
            await self._clock.sleep(_FOLLOW_EVERY)
            message = await self._chats.follow(owner, chat_id, message.number)

    async def _run(self, running: "_Running", reply: Reply, place: ExitStack) -> None:
        key = running.chat.id, running.message.number
        try:
            with place:
                await self._write(running, reply)
        finally:
            del self._running[key]
            running.finish(running.message)

    async def _write(self, running: "_Running", reply: Reply) -> None:
        reading = running.reading = asyncio.create_task(_read(running, reply), name="read a reply")
        try:
            while not reading.done():
                await asyncio.wait({reading}, timeout=self._save_every)
                if not reading.done():
                    await self._save(running)
        finally:
            reading.cancel()
            await asyncio.wait({reading})
        await self._finish(running, reply, _problem_of(running, reading, reply))

    async def _save(self, running: "_Running") -> None:
        """Saves what there is, and ends the reply if it has no reader or was stopped elsewhere."""
        try:
            goes_on, read_at = await self._chats.save(
                running.chat.id, running.message.number, running.text
            )
        except StoreError as error:
            _logger.warning("a running reply of a chat is not saved now: %s", error)
            return
        elsewhere = None if read_at is None else self._clock.wall() - read_at.timestamp()
        left_for = self._clock.now() - running.left_at
        if not goes_on:
            running.end(STOPPED)
        elif not is_read(running.readers, left_for, elsewhere, within=self._readerless):
            running.end(LEFT)

    async def _finish(self, running: "_Running", reply: Reply, problem: str) -> None:
        status: Status = "broken_off" if problem else "whole"
        route = route_of(reply.id, reply.event, running.at_first)
        for pause in (*_SAVE_AGAIN_AFTER, None):
            try:
                await self._chats.finish(
                    running.chat.id,
                    running.message.number,
                    running.text,
                    status=status,
                    problem=problem,
                    route=route,
                )
            except StoreError as error:
                if pause is None:
                    _logger.warning("the end of a reply of a chat is not stored: %s", error)
                    status, problem = "broken_off", "the database did not store its end"
                else:
                    await self._clock.sleep(pause)
            else:
                break
        running.message = replace(
            running.message, content=running.text, status=status, problem=problem, route=route
        )


@dataclass(eq=False)
class _Running:
    """A reply in progress, and its readers in this process."""

    job: ReplyTask = field(repr=False)
    left_at: float
    """When the last reader left, or the reply began (s, on the process's clock)."""
    readers: int = 0
    result: ChatMessage | None = field(default=None, repr=False)
    reason: str = ""
    """Why it was ended from outside; empty: it was not."""
    task: "asyncio.Task[None] | None" = None
    reading: "asyncio.Task[None] | None" = None
    news: asyncio.Event = field(default_factory=asyncio.Event)
    message: ChatMessage = field(init=False, repr=False)
    at_first: ReplyEvent | None = field(default=None, repr=False)
    """The reply at its first word."""
    _text: io.StringIO = field(default_factory=io.StringIO, repr=False)

    def __post_init__(self) -> None:
        self.message = self.job.reply

    @property
    def chat(self) -> Chat:
        return self.job.chat

    @property
    def text(self) -> str:
        return self._text.getvalue()

    def add(self, text: str) -> None:
        self._text.seek(0, io.SEEK_END)
        self._text.write(storable(text))
        self._announce()

    def after(self, read: int) -> str:
        """Returns the text after so many characters."""
        self._text.seek(read)
        return self._text.read()

    def end(self, reason: str) -> None:
        """Ends the reply from outside, unless it has ended by itself."""
        self.reason = self.reason or reason
        if self.reading:
            self.reading.cancel()

    def finish(self, message: ChatMessage) -> None:
        self.result = message
        self._announce()

    async def wait(self) -> None:
        if self.task:
            await asyncio.wait({self.task})

    def _announce(self) -> None:
        self.news.set()
        self.news = asyncio.Event()


def is_read(readers: int, left_for: float, read_elsewhere: float | None, *, within: float) -> bool:
    """Returns whether a reply has readers, or had one within so many seconds.

    `left_for`: seconds since it had none in this process; `read_elsewhere`: seconds since another
    process read it, None if none did.
    """
    if readers or left_for < within:
        return True
    return read_elsewhere is not None and read_elsewhere < within


async def _read(running: _Running, reply: Reply) -> None:
    async with aclosing(reply):
        if running.reason:
            return
        async for chunk in reply:
            if chunk.finish_reason and not chunk.connection:
                # The router's own phrase for a voice, whose reply no connection could finish.
                raise ReplyFailedError([(n, str(f.kind)) for n, f in reply.event.failures])
            if chunk.text:
                running.at_first = running.at_first or reply.event
                running.add(chunk.text)


def _problem_of(running: _Running, reading: "asyncio.Task[None]", reply: Reply) -> str:
    """Returns why a reply was broken off; empty for a whole one."""
    if reading.cancelled() or running.reason:
        return running.reason or SHUT_DOWN
    error = reading.exception()
    if error is None:
        return ""
    if not isinstance(error, ReplyFailedError):
        _logger.error("a bug in a reply of a chat", exc_info=error)
        return _BUG
    if running.text:
        return f"it broke off after {reply.event.duration:.1f} s: {error}"
    return str(error)


def reply_request(task: ReplyTask) -> ChatRequest:
    """Returns the request for a reply: the conversation, and the parameters of its chat."""
    return ChatRequest(
        messages=request_messages(task.chat.system_prompt, task.path),
        session_id=f"chat-{task.chat.id}",
        **task.chat.parameters,
    )
