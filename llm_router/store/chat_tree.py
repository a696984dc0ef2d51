"""Defines a chat and its messages, which form a tree, and finds ways through it. No I/O.

Messages are numbered from 1 in the order in which they were made, so a child's number is higher
than its parent's. An edited message and a reply written anew are siblings of the first one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from llm_router.errors import NotFoundError
from llm_router.types import Message

Status = Literal["whole", "running", "broken_off"]
Role = Literal["user", "assistant"]
Said = tuple[Role, str]
"""One message of a conversation: the role of its speaker, and the words."""
ROOT = 0
"""The parent of a first message."""
_LONGEST_TITLE = 60
_BROKEN_BY_DEATH = "the process that wrote it ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """A stored chat without its messages.

    `current` is the last message of the path that is shown, 0 without any; `messages` the number of
    the newest one; `characters` the length of all together.
    """

    id: str
    owner: str
    title: str = ""
    model: str
    system_prompt: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    current: int = ROOT
    messages: int = 0
    characters: int = 0
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage:
    """A message of a chat.

    `problem` says why a reply was broken off. `route` has the id of a reply in the usage log, its
    connection and model, its times in seconds, and what `management.chat_receipts` adds.
    """

    number: int
    parent: int
    role: Role
    content: str
    status: Status = "whole"
    problem: str = ""
    route: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ChatTree:
    """A chat with all its messages, in the order of their numbers."""

    chat: Chat
    messages: Sequence[ChatMessage]

    @property
    def path(self) -> list[ChatMessage]:
        """The messages that are shown: from a first one to the current one."""
        return path_to(self.messages, self.chat.current)

    def beside(self, number: int) -> list[ChatMessage]:
        """Returns the messages that follow the same one as this does. Raises NotFoundError."""
        parent = require_message(self.messages, number).parent
        return [message for message in self.messages if message.parent == parent]

    def siblings(self) -> Mapping[int, Sequence[int]]:
        """Returns the numbers of the messages of each parent."""
        found: dict[int, list[int]] = {}
        for message in self.messages:
            found.setdefault(message.parent, []).append(message.number)
        return found


def past_messages(past: Iterable[Said], now: datetime) -> list[ChatMessage]:
    """Returns messages with these words, numbered from 1, each after the one before it."""
    return [
        ChatMessage(
            number=number,
            parent=number - 1,
            role=role,
            content=storable(text),
            created_at=now,
        )
        for number, (role, text) in enumerate(past, start=1)
    ]


def require_message(messages: Iterable[ChatMessage], number: int) -> ChatMessage:
    """Returns the message of that number. Raises NotFoundError."""
    for message in messages:
        if message.number == number:
            return message
    raise NotFoundError(f"the chat has no message {number}; read the chat to see its messages")


def path_to(messages: Iterable[ChatMessage], number: int) -> list[ChatMessage]:
    """Returns the messages from a first one to that number; empty for 0."""
    by_number = {message.number: message for message in messages}
    path: list[ChatMessage] = []
    while message := by_number.get(number):
        path.append(message)
        number = message.parent
    return path[::-1]


def newest_end(messages: Iterable[ChatMessage], number: int) -> int:
    """Returns the last message of the newest path that leads through this one."""
    newest_child: dict[int, int] = {}
    for message in messages:
        newest_child[message.parent] = max(newest_child.get(message.parent, 0), message.number)
    while child := newest_child.get(number):
        number = child
    return number


def request_messages(system_prompt: str, path: Iterable[ChatMessage]) -> list[Message]:
    """Returns the conversation as a model is asked to continue it.

    Replies without a word are left out, and messages of a user that then follow each other are
    joined: many servers refuse two in a row.
    """
    messages: list[Message] = []
    if system_prompt:
        messages.append({"role": "system", "content": system_prompt})
    for role, text in _turns(path):
        messages.append({"role": role, "content": text})
    return messages


def _turns(path: Iterable[ChatMessage]) -> Iterator[tuple[str, str]]:
    asked: list[str] = []
    for message in path:
        if message.role == "user":
            asked.append(message.content)
        elif message.content:
            if asked:
                yield "user", "\n\n".join(asked)
            asked = []
            yield "assistant", message.content
    if asked:
        yield "user", "\n\n".join(asked)


def title_of(text: str) -> str:
    """Returns a title for a chat that begins with this text: its first line, shortened."""
    line = next((line for line in map(str.strip, text.splitlines()) if line), "")
    line = "".join(c if c.isprintable() else " " for c in line[: _LONGEST_TITLE * 2])
    if len(line) <= _LONGEST_TITLE:
        return line
    cut = line[:_LONGEST_TITLE]
    at_a_word = cut.rpartition(" ")[0]
    return (at_a_word if len(at_a_word) > _LONGEST_TITLE // 2 else cut).rstrip() + "…"


def status_at(
    status: Status, problem: str, alive_until: datetime | None, now: datetime
) -> tuple[Status, str]:
    """Returns the status to show, and the problem: a writer that is late with a sign has died."""
    if status == "running" and alive_until is not None and alive_until < now:
        return "broken_off", _BROKEN_BY_DEATH
    return status, problem


def storable(text: str) -> str:
    """Returns the text without the one character that PostgreSQL cannot store."""
    return text.replace("\0", "\ufffd")


def excerpt(content: str, text: str, *, width: int = 160) -> str:
    """Returns about `width` characters of the content around the first place of the text."""
    # In folded text the place may differ by a few characters, which an excerpt forgives.
    place = max(0, content.casefold().find(text.casefold()) - width // 4)
    words = " ".join(content[place : place + width].split())
    before, after = "…" * (place > 0), "…" * (place + width < len(content))
    return f"{before}{words}{after}"
