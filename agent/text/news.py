"""Says what a reader of a conversation in writing gets, and how far one has read. Pure."""

import re
from dataclasses import dataclass
from typing import Self

from llm_router.voice.calls import CallItem, CallState

VISITORS = "visitor-"
"""Beginning of the ids of visitors' messages as they are stored."""
_PLACE = re.compile(r"(\d{1,9})\.(\d{1,9})")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """How far a reader is: up to item `number`, and `read` characters of the reply after it."""

    number: int = 0
    read: int = 0

    def __str__(self) -> str:
        return f"{self.number}.{self.read}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Returns the place that the id of an event names, or None if it names none."""
        found = _PLACE.fullmatch(text)
        return cls(int(found[1]), int(found[2])) if found else None


@dataclass(frozen=True, slots=True)
class Words:
    """The next words of the reply under way; `place` is after them."""

    place: Place
    text: str


@dataclass(frozen=True, slots=True)
class Item:
    """A whole item. If it is an assistant's, the words of the reply before it become it."""

    item: CallItem

    @property
    def place(self) -> Place:
        return Place(self.item.number)


@dataclass(frozen=True, slots=True)
class Quiet:
    """Nothing for a while; it keeps proxies from closing the connection."""


@dataclass(frozen=True, slots=True)
class End:
    """Nothing is under way. `state` is that of the conversation, or `none` if there is none."""

    state: CallState | str


News = Words | Item | Quiet | End
