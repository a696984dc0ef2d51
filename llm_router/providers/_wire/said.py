"""Recognises text that a stream says a second time."""

import re

from llm_router.providers._wire import limits

_SHORTEST = 12
"""Characters from which on a repetition of all that was said cannot be chance."""
_SENTENCE_END = re.compile(r"[.!?…。！？؟।][\"'”’»)\]*]*\s*\Z")


class Said:
    """The words of a stream so far.

    Some servers end a stream with a summary: the whole text once more, in a message of its own or
    as one more piece. Some put the text so far into every chunk beside the piece.
    """

    def __init__(self) -> None:
        self.pieces = 0
        self._texts: list[str] = []
        self._length = 0
        self._messages = 0

    def add(self, text: str, *, is_last: bool = False) -> str:
        """Adds a piece; returns what is new of it. `is_last`: a finish reason has come."""
        if len(text) >= self._length:
            text = self._new_part(text, is_last=is_last)
        if text:
            self.pieces += 1
            if self._length <= limits.ANSWER:
                self._texts.append(text)
                self._length += len(text)
        return text

    def add_message(self, text: str) -> str:
        """Adds a message, which holds the text so far or, from some servers, a piece of it."""
        new, said = text.strip(), self._text().strip()
        if said and new.startswith(said):
            text = new[len(said) :]
        elif self.pieces > self._messages:  # the pieces have said it, perhaps in other words
            return ""
        self._messages += bool(text)
        return self.add(text)

    @property
    def ends_sentence(self) -> bool:
        return bool(_SENTENCE_END.search("".join(self._texts[-3:])))

    def _new_part(self, text: str, *, is_last: bool) -> str:
        new, said = text.strip(), self._text().strip()
        if not any(map(str.isalpha, said)):
            return text
        is_long = len(said) >= _SHORTEST and new.startswith(said)
        return (
            new[len(said) :] if is_long or (is_last and self.pieces > 1 and new == said) else text
        )

    def _text(self) -> str:
        self._texts = ["".join(self._texts)]  # joined once, however often it is asked for
        return self._texts[0]
