"""The speech clock: how long a text takes to say, and where a clause ends."""

import re

from llm_router.options import RouterOptions

_CHARACTERS_PER_SECOND = {
    "de": 14.0, "en": 15.0, "es": 16.0, "fr": 15.5, "it": 15.5, "nl": 14.5, "pt": 15.0,
    "ja": 7.5, "ko": 8.0, "zh": 5.0,
}  # fmt: skip
"""Talking speed by language, from syllables a second (Pellegrino et al., Language 87, 2011) and the
letters a syllable takes in each script. A little fast is the safe side for deadlines."""
_DEFAULT_SPEED = 15.0

_CLAUSE_END = re.compile(r"[.!?;:,…][\"')\]]*(?=\s|$)|[。！？；：，、]|\n")
_MAY_END = re.compile(r"[.!?;:,…。！？；：，、\n]")
"""Without one of these characters new words end no clause, and the search is skipped."""
_CLAUSE_WORDS = 10
_CLAUSE_LENGTH = 80
"""Characters that always make a clause: not every script separates words by spaces."""
_PAUSE_SHARE = 0.1
"""Share of its talking time for which a voice may pause in the long run: slow, but no drip."""
_WORD = re.compile(r"\S+ +")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"')\]]*\s*$")


def talking_speed(language: str) -> float:
    """Returns the characters that a voice says in a second."""
    return _CHARACTERS_PER_SECOND.get(language[:2].lower(), _DEFAULT_SPEED)


def whole_clauses(text: str) -> str:
    """Returns the part that a voice can say already: up to the last end of a clause, or all of it
    from about ten words on.
    """
    end = 0
    for match in _CLAUSE_END.finditer(text):
        end = match.end()
    rest = text[end:]
    is_long = len(rest) >= _CLAUSE_LENGTH or len(_WORD.findall(rest)) >= _CLAUSE_WORDS
    return text if is_long else text[:end]


def ends_sentence(text: str) -> bool:
    return bool(_SENTENCE_END.search(text))


class SpeechClock:
    """Works out when the voice will have said all the words it was given.

    It starts to speak with the first whole clause; `silent_from` (s, router's clock) is None until
    then. Pauses that the speaker lets it make add up, and its talk pays some back (`_PAUSE_SHARE`).
    """

    def __init__(self, language: str, voice_speed: float = 1.0) -> None:
        self._speed = talking_speed(language) * voice_speed
        self._waiting = ""
        self.silent_from: float | None = None
        self._paused = 0.0
        self._given_since = 0.0

    def take_over(self, now: float) -> None:
        """Starts a new speaker, whose predecessor's pauses are not counted against it."""
        self._paused = 0.0
        self._given_since = now

    def feed(self, text: str, now: float) -> bool:
        """Gives words to the voice, which says each clause once it is whole.

        Returns whether a clause became whole.
        """
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
            self._paused = max(0.0, self._paused + pause - _PAUSE_SHARE * talk)
        self.silent_from = max(now, self.silent_from or 0.0) + talk
        return True

    def _is_long(self) -> bool:
        """Returns whether the words not said yet may be a clause by their length alone."""
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
        """Returns when more words must be here for a spare to take over before the voice falls
        silent; the spare needs `lead` seconds for its first word.

        Words move this moment further away; only a whole clause, which shows how long the voice was
        silent, may bring it nearer. A pause of `usual_pause` seconds is usual for this speaker and
        no stall.

        Until a clause is whole a voice cannot start, so that clause has a deadline of its own. Many
        short pauses are as bad as a long one, so they share one allowance. Without a spare (`lead`
        is None) a slow voice is better than none.
        """
        if lead is None:
            return last_chunk + options.first_word_deadline
        if self.silent_from is None:
            stalls_at = last_chunk + max(options.clause_stall, usual_pause)
            return min(first_word + options.first_clause, stalls_at)
        allowance = max(0.0, max(options.spoken_stall, usual_pause) - self._paused)
        return max(last_chunk + allowance, self.silent_from - lead)
