"""The speech clock: how long a text takes to say, and where a clause ends."""

import re

from llm_router.options import RouterOptions

_CHARACTERS_PER_SECOND = {
    "de": 14.0, "en": 15.0, "es": 16.0, "fr": 15.5, "it": 15.5, "nl": 14.5, "pt": 15.0,
    "ja": 7.5, "ko": 8.0, "zh": 5.0,
}  # fmt: skip
"""Talking speed, from syllables a second (Pellegrino et al., Language 87, 2011) and the letters a
syllable takes in each script. For deadlines: a little fast rather than slow is the safe side."""
_DEFAULT_SPEED = 15.0

_CLAUSE_END = re.compile(r"[.!?;:,…][\"')\]]*(?=\s|$)|[。！？；：，、]|\n")
_MAY_END = re.compile(r"[.!?;:,…。！？；：，、\n]")
"""Without one of these, words end no clause, and what waits need not be searched again."""
_CLAUSE_WORDS = 10
_CLAUSE_LENGTH = 80
"""Characters that are a clause whatever they are: not every script parts words by spaces."""
_PAUSES = 0.1
"""How much of its talk a voice may be silent for in the long run: a slow speaker, no drip."""
_WORD = re.compile(r"\S+ +")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"')\]]*\s*$")


def seconds_to_say(text: str, language: str = "en") -> float:
    return len(text) / _speed(language)


def _speed(language: str) -> float:
    return _CHARACTERS_PER_SECOND.get(language[:2].lower(), _DEFAULT_SPEED)


def whole_clauses(text: str) -> str:
    """What a voice can say of it already: up to where a clause ends, or all of about ten words."""
    end = 0
    for match in _CLAUSE_END.finditer(text):
        end = match.end()
    rest = text[end:]
    is_long = len(rest) >= _CLAUSE_LENGTH or len(_WORD.findall(rest)) >= _CLAUSE_WORDS
    return text if is_long else text[:end]


def ends_sentence(text: str) -> bool:
    return bool(_SENTENCE_END.search(text))


class SpeechClock:
    """When the voice will run out of what it was given.

    It starts to speak with the first whole clause. `silent_from` is None until then. Of the pauses
    whoever gives the words has let it make, its talk wins some back (see `_PAUSES`).
    """

    def __init__(self, language: str) -> None:
        self._speed = _speed(language)
        self._waiting = ""
        self.silent_from: float | None = None
        self._paused = 0.0
        self._given_since = 0.0

    def taken_over(self, now: float) -> None:
        """Another gives the words from now on; the pauses until then were not its own."""
        self._paused, self._given_since = 0.0, now

    def heard(self, text: str, now: float) -> bool:
        """Words were given to the voice, which says a clause once it is whole. Whether one is."""
        self._waiting += text
        if not (_MAY_END.search(text) or self._is_long()):
            return False
        whole = whole_clauses(self._waiting)
        if not whole:
            return False
        self._waiting = self._waiting[len(whole) :]
        talk = len(whole) / self._speed
        if self.silent_from is not None:
            pause = max(0.0, now - max(self.silent_from, self._given_since))
            self._paused = max(0.0, self._paused + pause - _PAUSES * talk)
        self.silent_from = max(now, self.silent_from or 0.0) + talk
        return True

    def _is_long(self) -> bool:
        """Whether what waits may be a clause by its length alone."""
        waiting = self._waiting
        return waiting.count(" ") >= _CLAUSE_WORDS or len(waiting) >= _CLAUSE_LENGTH

    def more_due(
        self,
        *,
        first_word: float,
        last_chunk: float,
        lead: float | None,
        usual_pause: float = 0.0,
        options: RouterOptions,
    ) -> float:
        """When more words must be there, if another is to take over (who needs `lead` seconds for
        its first word) before the voice falls silent. Words put it off; only a whole clause, which
        shows how long the voice was silent, may bring it nearer. A pause that is usual for whoever
        gives them (`usual_pause`) is no stall.

        Until a clause is whole, a voice cannot start: the clause has a deadline of its own. Many
        short pauses are as bad as a long one: what was paused is borne once. Where nobody could
        take over (`lead` is None), a slow voice is better than none.
        """
        if lead is None:
            return last_chunk + options.first_word_deadline
        if self.silent_from is None:
            stalls_at = last_chunk + max(options.clause_stall, usual_pause)
            return min(first_word + options.first_clause, stalls_at)
        still_borne = max(0.0, max(options.spoken_stall, usual_pause) - self._paused)
        return max(last_chunk + still_borne, self.silent_from - lead)
