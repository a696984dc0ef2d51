"""Follows the language of a caller: decides when it has changed, and says so to what speaks.

The decision is pure. Evidence is the language that the speech-to-text engine reports of each final
transcript; one that reports none, or only that of its settings, changes nothing.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from livekit.agents import AgentSession, LanguageCode, llm

_LEAST = 8
"""Characters of a turn that says anything about its language: "OK" and "no" are in many."""
_SURE = 30
"""Characters of a turn that changes the language by itself."""
_SHARE = 0.8
"""Part of a turn's characters that must be in one language."""
_MOST_PARTS = 100
"""Final transcripts of one turn that count."""
Part = tuple[str, int]
"""Language of a final transcript, as reported, and its characters."""


class LanguageRule:
    """Decides in which of its languages a caller speaks.

    Another language is taken after two turns in a row that are in it, or after one that is long:
    a single short turn is often a name, or a mistake of the recogniser.
    """

    def __init__(self, languages: Sequence[str], current: str = "") -> None:
        """`languages`: tags, the first is that of the call's begin unless `current` is one."""
        self._languages = tuple(languages)
        self.current = current if current in self._languages else self._languages[0]
        self.has_changed = self.current != self._languages[0]
        """Whether the call has ever left the language of its begin."""
        self.are_several = len(self._languages) > 1
        self._before = ""

    def turn(self, parts: Sequence[Part], usable: Collection[str]) -> str:
        """Takes the parts of a turn, and returns the language from now on, one of `usable`."""
        spoken = self._spoken(parts)
        if spoken is None:
            return self.current
        language, characters = spoken
        is_taken = language == self._before or characters >= _SURE
        self._before = language
        if is_taken and language in usable and language != self.current:
            self.current = language
            self.has_changed = True
        return self.current

    def _spoken(self, parts: Sequence[Part]) -> Part | None:
        """Returns the language of a turn and its characters; None: it shows none."""
        total = sum(characters for _, characters in parts)
        counts: dict[str, int] = {}
        for reported, characters in parts:
            if own := self._own(reported):
                counts[own] = counts.get(own, 0) + characters
        if not counts or total < _LEAST:
            return None
        language = max(counts, key=counts.__getitem__)
        return (language, counts[language]) if counts[language] >= _SHARE * total else None

    def _own(self, reported: str) -> str:
        """Returns the call's tag of a language; empty: it is none of the call's."""
        exact = [tag for tag in self._languages if tag.lower() == reported.lower()]
        family = LanguageCode(reported).language if reported else ""
        near = [tag for tag in self._languages if LanguageCode(tag).language == family]
        return next(iter([*exact, *near]), "")


class HasLanguage(Protocol):
    """A part of a call that speaks, or picks phrases, in its language."""

    language: str


class CallLanguages:
    """The languages of one call. Call `turn_ended` at the end of each turn of the caller.

    `usable` returns those in which the agent can speak by now.
    """

    def __init__(
        self, rule: LanguageRule, usable: Callable[[], Collection[str]] | None = None
    ) -> None:
        self._rule = rule
        self._usable = usable or (lambda: (rule.current,))
        self._parts: list[Part] = []
        self._speakers: list[HasLanguage] = []

    @property
    def current(self) -> str:
        return self._rule.current

    @property
    def are_several(self) -> bool:
        return self._rule.are_several

    def tell(self, *speakers: HasLanguage) -> None:
        """Sets their language, now and whenever the caller changes it."""
        self._speakers += speakers
        for speaker in speakers:
            speaker.language = self.current

    def follow(self, session: AgentSession[Any]) -> None:
        """Collects the languages of what the caller says."""
        session.on("user_input_transcribed", self._on_transcript)

    def turn_ended(self) -> bool:
        """Returns whether the caller has changed the language with this turn."""
        parts, self._parts = self._parts, []
        before = self.current
        if self._rule.turn(parts, self._usable()) == before:
            return False
        for speaker in self._speakers:
            speaker.language = self.current
        return True

    def instruct(self, context: llm.ChatContext) -> llm.ChatContext:
        """Returns the conversation with a line about the language, once that has changed."""
        if not self._rule.has_changed:
            return context
        line = f"The caller speaks {name_of(self.current)} now: answer in that language."
        return with_line(context, line)

    def _on_transcript(self, event: Any) -> None:
        text = event.transcript.strip()
        if event.is_final and text and len(self._parts) < _MOST_PARTS:
            self._parts.append((event.language or "", len(text)))


def with_line(context: llm.ChatContext, line: str) -> llm.ChatContext:
    """Returns the conversation with a line at the end of its instructions, once."""
    items = [*context.items]
    for place, item in enumerate(items):
        if isinstance(item, llm.ChatMessage) and item.role in {"system", "developer"}:
            text = item.text_content or ""
            if not text.endswith(line):
                items[place] = item.model_copy(update={"content": [f"{text}\n\n{line}".lstrip()]})
            return llm.ChatContext(items)
    return llm.ChatContext([llm.ChatMessage(role="system", content=[line]), *items])


def name_of(language: str) -> str:
    """Returns the English name of a language with its tag, or the tag alone."""
    name = LanguageCode(language).to_language_name()
    return f"{name.title()} ({language})" if name else f"the language {language!r}"
