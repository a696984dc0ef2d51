"""Defines a message that a caller has left."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from llm_router.voice.calls import storable_text
from llm_router.voice.redaction import redact

MAX_MESSAGE = 4_000  # characters
MAX_NAME = 200
"""Characters of a caller's name, and of the way to reach them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message for the people behind an assistant, in the caller's own words.

    `contact` is how the caller can be reached: a number or an address.
    """

    id: str
    room: str = ""
    assistant: str = ""
    name: str = ""
    contact: str = ""
    text: str
    created_at: datetime


class MessageBox(Protocol):
    """Takes messages. The same one again, by its `id`, changes nothing."""

    async def take(self, message: Message) -> None:
        """Stores a message; when it returns, the message is safe. Raises StoreError."""


def bounded(message: Message) -> Message:
    """Returns the message with texts that every store takes, cut to their greatest length."""
    return replace(
        message,
        name=storable_text(message.name)[:MAX_NAME],
        contact=storable_text(message.contact)[:MAX_NAME],
        text=storable_text(message.text)[:MAX_MESSAGE],
    )


def redacted(message: Message) -> Message:
    """Returns the message without what may be a card's number.

    A contact that begins with a plus or a zero is a telephone number: no card's begins so, and one
    in ten long numbers would be taken for a card's.
    """
    is_telephone = message.contact.lstrip().startswith(("+", "0"))
    return replace(
        message,
        name=redact(message.name),
        contact=message.contact if is_telephone else redact(message.contact),
        text=redact(message.text),
    )
