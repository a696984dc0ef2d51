"""Ends a reply that has become longer than anybody would listen to or read."""

import re

from llm_router.options import ReplyLimits
from llm_router.routing.speech import talking_speed
from llm_router.types import ChatRequest

_SENTENCE_END = re.compile(r"[.!?…][\"')\]]*+(?=\s|\Z)|[。！？]|\n")
_GRACE = 500
"""Characters within which the last sentence must end."""


class LengthLimit:
    """Counts the words that one reply gives out. Reads no clock."""

    def __init__(self, request: ChatRequest, limits: ReplyLimits) -> None:
        spoken = int(limits.speech * talking_speed(request.language))
        self._left = spoken if request.speech else limits.characters
        self.is_reached = False
        self.is_cut = False
        """Whether the reply ends within a sentence: none of them has ended in time."""

    def take(self, text: str) -> str:
        """Returns as much of the next words as may be given out."""
        before, self._left = self._left, self._left - len(text)
        if self._left > 0:
            return text
        if end := _SENTENCE_END.search(text, max(0, before - 1), max(0, before + _GRACE)):
            self.is_reached = True
            return text[: end.end()]
        if self._left > -_GRACE:
            return text
        self.is_reached = self.is_cut = True
        text = text[: before + _GRACE]
        return text[: text.rfind(" ") + 1].rstrip() or text
