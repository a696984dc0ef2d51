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
_CLAUSE_WORDS = 10
_WORD = re.compile(r"\S+\s+")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"')\]]*\s*$")


def seconds_to_say(text: str, language: str = "en") -> float:
    return len(text) / _CHARACTERS_PER_SECOND.get(language[:2].lower(), _DEFAULT_SPEED)


def has_clause(text: str) -> bool:
    """Whether a voice can start on this: a clause has ended, or about ten words are there."""
    if _CLAUSE_END.search(text):
        return True
    return len(_WORD.findall(text)) >= _CLAUSE_WORDS


def ends_sentence(text: str) -> bool:
    return bool(_SENTENCE_END.search(text))


class SpeechClock:
    """When the voice will run out of what it was given.

    It starts to speak with the first whole clause. `silent_from` is None until then.
    """

    def __init__(self, language: str) -> None:
        self._language = language
        self._waiting = ""
        self.silent_from: float | None = None

    def heard(self, text: str, now: float) -> None:
        """Words were given to the voice."""
        if self.silent_from is None:
            self._waiting += text
            if has_clause(self._waiting):
                self.silent_from = now + seconds_to_say(self._waiting, self._language)
                self._waiting = ""
            return
        self.silent_from = max(now, self.silent_from) + seconds_to_say(text, self._language)

    def more_due(
        self, *, first_word: float, last_chunk: float, lead: float, options: RouterOptions
    ) -> float:
        """When more words must be there, if another is to take over (who needs `lead` seconds for
        its first word) before the voice falls silent.

        Until a clause is whole, a voice cannot start: the clause has a deadline of its own.
        """
        if self.silent_from is None:
            return first_word + options.first_clause
        return max(last_chunk + options.spoken_stall, self.silent_from - lead)
