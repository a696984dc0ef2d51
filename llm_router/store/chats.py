"""Stores chats. Each belongs to one owner, and to every other actor it does not exist."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.clock import Clock, SystemClock, utc_now
from llm_router.errors import ConflictError, NotFoundError, QuotaError
from llm_router.options import ChatLimits
from llm_router.store.chat_search import holds, places
from llm_router.store.chat_tree import (
    ROOT,
    Chat,
    ChatMessage,
    ChatTree,
    Said,
    Status,
    newest_end,
    past_messages,
    path_to,
    require_message,
    status_at,
    storable,
    title_of,
)
from llm_router.store.database import Database
from llm_router.store.tables import chat_messages, chat_sessions

_S = chat_sessions.c
_M = chat_messages.c
_CHAT = tuple(field.name for field in fields(Chat))
_MESSAGE = tuple(field.name for field in fields(ChatMessage))
_SIGN_OF_LIFE = timedelta(seconds=15)
"""Time after which a running reply has lost its process if it was not saved again."""


@dataclass(frozen=True, slots=True)
class Found:
    """A chat that a search found, and where: the number of a message, and words around the text."""

    chat: Chat
    message: int | None = None
    excerpt: str = ""


@dataclass(frozen=True, slots=True)
class ReplyTask:
    """A reply that is to be written: stored as running, below the messages of `path`."""

    chat: Chat
    path: Sequence[ChatMessage]
    reply: ChatMessage

    @property
    def question(self) -> ChatMessage:
        return self.path[-1]


class Chats:
    """The chats in a migrated database.

    Every method takes the owner. Raises NotFoundError for a chat or a message that the owner does
    not have, QuotaError beyond `limits`, and StoreError. A message is stored when the method
    returns; a cancelled call is done or not done, never half.
    """

    def __init__(
        self, database: Database, clock: Clock | None = None, limits: ChatLimits | None = None
    ) -> None:
        self._database = database
        self._clock = clock or SystemClock()
        self._limits = limits or ChatLimits()

    async def add(self, owner: str, values: Mapping[str, Any], past: Sequence[Said] = ()) -> Chat:
        """Adds a chat; `values` has some of title, model, system_prompt and parameters.

        It begins with the messages of `past`, each after the one before it.
        """
        messages = past_messages(past, self._now())
        asked = next((text for role, text in past if role == "user"), "")
        chat = Chat(
            id=str(uuid4()),
            owner=owner,
            current=len(messages),
            messages=len(messages),
            characters=sum(len(message.content) for message in messages),
            created_at=self._now(),
            updated_at=self._now(),
            **_clean({**values, "title": values.get("title") or title_of(asked)}),
        )
        async with self._database.writing() as db:
            mine = select(func.count()).where(_S.owner == owner)
            if (await db.execute(mine)).scalar_one() >= self._limits.chats:
                raise QuotaError(f"you have {self._limits.chats:,} chats: delete some")
            await self._require_room_for(db, owner, 0, chat.characters)
            await db.execute(chat_sessions.insert(), _chat_row(chat))
            if messages:
                rows = [_message_row(chat.id, message) for message in messages]
                await db.execute(chat_messages.insert(), rows)
        return chat

    async def find(
        self, owner: str, text: str = "", *, limit: int = 50, offset: int = 0
    ) -> tuple[list[Found], int]:
        """Returns a page of chats, the latest first, and the number of all.

        With `text`: those whose title or messages hold it, in any case.
        """
        matching = _S.owner == owner
        if text:
            said = select(_M.number).where(_M.session_id == _S.id, holds(_M.search, text))
            matching = and_(matching, or_(holds(_S.search, text), said.exists()))
        rows = select(chat_sessions).where(matching).order_by(_S.updated_at.desc(), _S.id)
        async with self._database.reading() as db:
            total = (await db.execute(select(func.count()).where(matching))).scalar_one()
            page = (await db.execute(rows.limit(limit).offset(offset))).mappings()
            chats = [_chat(row) for row in page]
            found = await places(db, chats, text) if text else {}
        return [Found(chat, *found.get(chat.id, ())) for chat in chats], total

    async def get(self, owner: str, chat_id: str) -> Chat:
        async with self._database.reading() as db:
            return await _get(db, owner, chat_id)

    async def read(self, owner: str, chat_id: str) -> ChatTree:
        """Returns a chat with its messages."""
        async with self._database.reading() as db:
            chat = await _get(db, owner, chat_id)
            return ChatTree(chat, await self._messages(db, chat_id))

    async def change(self, owner: str, chat_id: str, values: Mapping[str, Any]) -> Chat:
        """Changes some of title, model, system_prompt and parameters."""
        values = _clean(values)
        if "title" in values:
            values["search"] = values["title"].casefold()
        async with self._database.writing() as db:
            await _get(db, owner, chat_id, for_update=True)
            await _update_chat(db, chat_id, **values, updated_at=self._now())
            return await _get(db, owner, chat_id)

    async def remove(self, owner: str, chat_id: str) -> None:
        """Removes a chat with all its messages."""
        async with self._database.writing() as db:
            await _get(db, owner, chat_id, for_update=True)
            await db.execute(chat_sessions.delete().where(_S.id == chat_id))

    async def choose(self, owner: str, chat_id: str, number: int) -> ChatTree:
        """Shows the newest path that leads through this message from now on."""
        async with self._database.writing() as db:
            await _get(db, owner, chat_id, for_update=True)
            messages = await self._messages(db, chat_id)
            require_message(messages, number)
            await _update_chat(db, chat_id, current=newest_end(messages, number))
            return ChatTree(await _get(db, owner, chat_id), messages)

    async def ask(self, owner: str, chat_id: str, text: str, *, after: int | None) -> ReplyTask:
        """Stores a message of the user, and a running reply to it.

        It comes after the message of that number, 0 for none, by default after the current one.
        Raises ConflictError while another reply of the chat is running.
        """
        text = storable(text)
        async with self._database.writing() as db:
            chat, messages = await self._writable(db, owner, chat_id, new=2, length=len(text))
            parent = chat.current if after is None else after
            if parent != ROOT:
                require_message(messages, parent)
            self._require_room_after(messages, parent)
            asked = ChatMessage(
                number=chat.messages + 1,
                parent=parent,
                role="user",
                content=text,
                created_at=self._now(),
            )
            await db.execute(chat_messages.insert(), _message_row(chat_id, asked))
            if not chat.title:
                title = title_of(text)
                await _update_chat(db, chat_id, title=title, search=title.casefold())
            return await self._begin(db, chat, [*path_to(messages, parent), asked])

    async def answer_again(self, owner: str, chat_id: str, number: int) -> ReplyTask:
        """Stores a running reply beside the one of that number, or to the user's message of it.

        Raises ConflictError while another reply of the chat is running.
        """
        async with self._database.writing() as db:
            chat, messages = await self._writable(db, owner, chat_id, new=1, length=0)
            message = require_message(messages, number)
            asked = message.parent if message.role == "assistant" else number
            self._require_room_after(messages, asked)
            return await self._begin(db, chat, path_to(messages, asked))

    async def save(self, chat_id: str, number: int, text: str) -> tuple[bool, datetime | None]:
        """Stores what there is of a running reply, as a sign of life within 15 s of the last.

        Returns whether it still is to run, and when another process last read it.
        """
        alive_until = self._now() + _SIGN_OF_LIFE
        async with self._database.writing() as db:
            before = await _write(db, chat_id, number, text, alive_until=alive_until)
        return before is not None, before["read_at"] if before else None

    async def finish(
        self,
        chat_id: str,
        number: int,
        text: str,
        *,
        status: Status,
        problem: str = "",
        route: Mapping[str, Any],
    ) -> None:
        """Stores the end of a running reply; nothing happens if it has been ended already."""
        end = {"status": status, "problem": problem, "route": dict(route)}
        async with self._database.writing() as db:
            if await _write(db, chat_id, number, text, **end) is not None:
                await _update_chat(db, chat_id, updated_at=self._now())

    async def stop(self, owner: str, chat_id: str, number: int, problem: str) -> ChatMessage:
        """Ends a running reply with what is stored of it; returns it, or a reply that has ended."""
        async with self._database.writing() as db:
            await _get(db, owner, chat_id, for_update=True)
            stopped = update(chat_messages).where(*_running(chat_id, number))
            await db.execute(stopped.values(status="broken_off", problem=problem))
            return await self._message(db, chat_id, number)

    async def follow(self, owner: str, chat_id: str, number: int) -> ChatMessage:
        """Returns a message, and notes for a running one that it is being read."""
        async with self._database.reading() as db:
            await _get(db, owner, chat_id)
            message = await self._message(db, chat_id, number)
        if message.status != "running":
            return message
        async with self._database.writing() as db:
            noted = update(chat_messages).where(*_running(chat_id, number))
            await db.execute(noted.values(read_at=self._now()))
        return message

    async def remove_unused(self, before: datetime, limit: int = 100) -> bool:
        """Removes some chats, of every owner, that were last used before; False: none is left."""
        old = select(_S.id).where(_S.updated_at < before).order_by(_S.updated_at).limit(limit)
        async with self._database.writing() as db:
            removed = await db.execute(chat_sessions.delete().where(_S.id.in_(old)))
        return removed.rowcount == limit

    async def _writable(
        self, db: AsyncConnection, owner: str, chat_id: str, *, new: int, length: int
    ) -> tuple[Chat, list[ChatMessage]]:
        """Returns a chat that may have so many new messages of so many characters."""
        chat = await _get(db, owner, chat_id, for_update=True)
        limits = self._limits
        if chat.messages + new > limits.messages:
            raise QuotaError(
                f"this chat has {chat.messages:,} messages, of at most {limits.messages:,}: begin"
                " another one"
            )
        await self._require_room_for(db, owner, chat.characters, length)
        messages = await self._messages(db, chat_id)
        running = [message.number for message in messages if message.status == "running"]
        if running:
            raise ConflictError(f"reply {running[0]} is being written: wait for its end or stop it")
        return chat, messages

    async def _require_room_for(
        self, db: AsyncConnection, owner: str, stored: int, length: int
    ) -> None:
        """Raises QuotaError where so many more characters are too many: of the chat, which has
        `stored` ones, or of all chats of the owner.
        """
        limits = self._limits
        if stored + length > limits.characters:
            raise QuotaError(
                f"this chat would have more than {limits.characters:,} characters: begin another"
            )
        of_all = select(func.coalesce(func.sum(_S.characters), 0)).where(_S.owner == owner)
        if (await db.execute(of_all)).scalar_one() + length > limits.owner_characters:
            raise QuotaError(
                f"your chats would have more than {limits.owner_characters:,} characters: delete"
                " some"
            )

    def _require_room_after(self, messages: Sequence[ChatMessage], parent: int) -> None:
        """Raises QuotaError where as many messages follow the parent as may."""
        most = self._limits.siblings
        if sum(message.parent == parent for message in messages) >= most:
            raise QuotaError(
                f"{most} messages follow the same one, the most that may: go on from one of them,"
                " or begin another chat"
            )

    async def _begin(
        self, db: AsyncConnection, chat: Chat, path: Sequence[ChatMessage]
    ) -> ReplyTask:
        now, asked = self._now(), path[-1]
        is_new = asked.number > chat.messages
        reply = ChatMessage(
            number=chat.messages + 1 + is_new,
            parent=asked.number,
            role="assistant",
            content="",
            status="running",
            created_at=now,
        )
        row = _message_row(chat.id, reply) | {"alive_until": now + _SIGN_OF_LIFE}
        await db.execute(chat_messages.insert(), row)
        await _update_chat(
            db,
            chat.id,
            messages=reply.number,
            current=reply.number,
            characters=chat.characters + (len(asked.content) if is_new else 0),
            updated_at=now,
        )
        return ReplyTask(await _get(db, chat.owner, chat.id), path, reply)

    async def _messages(self, db: AsyncConnection, chat_id: str) -> list[ChatMessage]:
        query = select(chat_messages).where(_M.session_id == chat_id).order_by(_M.number)
        return [self._read(row) for row in (await db.execute(query)).mappings()]

    async def _message(self, db: AsyncConnection, chat_id: str, number: int) -> ChatMessage:
        query = select(chat_messages).where(_M.session_id == chat_id, _M.number == number)
        row = (await db.execute(query)).mappings().one_or_none()
        return require_message([self._read(row)] if row else [], number)

    def _read(self, row: RowMapping) -> ChatMessage:
        status, problem = status_at(row["status"], row["problem"], row["alive_until"], self._now())
        values = {name: row[name] for name in _MESSAGE}
        return ChatMessage(**values | {"status": status, "problem": problem})

    def _now(self) -> datetime:
        return utc_now(self._clock)


async def _get(db: AsyncConnection, owner: str, chat_id: str, *, for_update: bool = False) -> Chat:
    query = select(chat_sessions).where(_S.id == chat_id, _S.owner == owner)
    if for_update:
        query = query.with_for_update()
    row = (await db.execute(query)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"there is no chat {chat_id[:100]!r}; list the chats to see their ids")
    return _chat(row)


async def _update_chat(db: AsyncConnection, chat_id: str, **values: Any) -> None:
    await db.execute(update(chat_sessions).where(_S.id == chat_id).values(values))


async def _write(
    db: AsyncConnection, chat_id: str, number: int, text: str, **values: Any
) -> RowMapping | None:
    """Stores what there is of a running reply, and counts what is new of it for its owner.

    So each stored character is counted, however the reply ends. Returns `read_at` as it was, or
    None for a reply that has ended already.
    """
    # The chat first, in the order in which a removal takes both.
    await db.execute(select(_S.id).where(_S.id == chat_id).with_for_update())
    stored = select(_M.read_at, func.length(_M.content).label("length"))
    row = (await db.execute(stored.where(*_running(chat_id, number)))).mappings().first()
    if row is not None:
        written = update(chat_messages).where(*_running(chat_id, number))
        await db.execute(written.values(content=text, search=text.casefold(), **values))
        await _update_chat(db, chat_id, characters=_S.characters + len(text) - row["length"])
    return row


def _running(chat_id: str, number: int) -> tuple[ColumnElement[bool], ...]:
    return _M.session_id == chat_id, _M.number == number, _M.status == "running"


def _clean(values: Mapping[str, Any]) -> dict[str, Any]:
    return {n: storable(v) if isinstance(v, str) else v for n, v in values.items()}


def _chat(row: RowMapping) -> Chat:
    return Chat(**{name: row[name] for name in _CHAT})


def _chat_row(chat: Chat) -> dict[str, Any]:
    row = {name: getattr(chat, name) for name in _CHAT}
    return row | {"parameters": dict(chat.parameters), "search": chat.title.casefold()}


def _message_row(chat_id: str, message: ChatMessage) -> dict[str, Any]:
    row = {name: getattr(message, name) for name in _MESSAGE}
    row |= {"route": dict(message.route), "search": message.content.casefold()}
    return row | {"session_id": chat_id}
