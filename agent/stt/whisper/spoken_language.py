"""Holds the language of a caller's words, as whisper finds it. Pure."""

from collections.abc import Mapping, Sequence

from livekit.agents import LanguageCode


class SpokenLanguage:
    """The language of the utterance under way; an unclear one is taken for that of the one before.

    `codes`: the languages of the call by whisper's codes of them, the first is that of its begin.
    """

    def __init__(self, codes: Mapping[str, str]) -> None:
        self._codes = codes
        self.code = next(iter(codes))
        """Whisper's code of the language in which to decode."""
        self._is_clear = len(codes) == 1

    @property
    def choice(self) -> Sequence[str]:
        """The codes among which to choose; empty where there is no choice."""
        return tuple(self._codes) if len(self._codes) > 1 else ()

    @property
    def tag(self) -> LanguageCode:
        """The language that LiveKit gets; empty: it is not clear."""
        return LanguageCode(self._codes[self.code] if self._is_clear else "")

    def begin(self) -> None:
        """Begins an utterance, whose language is not clear yet."""
        self._is_clear = len(self._codes) == 1

    def take(self, found: str) -> None:
        """Takes the language that a decode has chosen; empty: none."""
        if found in self._codes:
            self.code = found
            self._is_clear = True
