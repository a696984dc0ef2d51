"""Recognises text that a stream says a second time."""

import re

from llm_router.providers._wire import limits

_SHORTEST = 12
"""Characters from which on a repetition of all that was said cannot be chance."""
_MANY_LETTERS = 3
"""Different letters from which on no reply begins with them twice, as a laugh or a stutter does."""
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
        so_far = self._text()
        new, said = text.strip(), so_far.strip()
        if said and text.startswith(so_far):
            text = text[len(so_far) :]
        elif said and new.startswith(said):
            text = new[len(said) :]
        elif self.pieces > self._messages:  # the pieces have said it, perhaps in other words
            return ""
        self._messages += bool(text)
        return self.add(text)

    @property
    def ends_sentence(self) -> bool:
        return bool(_SENTENCE_END.search("".join(self._texts[-3:])))

    def _new_part(self, text: str, *, is_last: bool) -> str:
        so_far = self._text()
        if not any(map(str.isalpha, so_far)):
            return text
        if text.startswith(so_far) and _grows(so_far, text[len(so_far) :]):
            return text[len(so_far) :]
        new, said = text.strip(), so_far.strip()
        is_long = len(said) >= _SHORTEST and new.startswith(said)
        return (
            new[len(said) :] if is_long or (is_last and self.pieces > 1 and new == said) else text
        )

    def _text(self) -> str:
        self._texts = ["".join(self._texts)]  # joined once, however often it is asked for
        return self._texts[0]


def _grows(said: str, rest: str) -> bool:
    """Returns whether a piece that begins with all that was said before `rest` repeats it.

    Servers that send the whole text so far begin a second time with its first letters. A capital
    in the middle of a word, or several letters over again, are no words of a reply.
    """
    if not rest.strip():
        return False
    letters = {letter for letter in said.casefold() if letter.isalpha()}
    first = next(filter(str.isalpha, said))
    is_capital = first.isupper() and said[-1].isalpha() and not rest[0].isupper()
    return is_capital or len(letters) >= _MANY_LETTERS
