"""Phrases for when no model can answer: short, whole, in the caller's language."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from llm_router.routing.speech import ends_sentence

_ENGLISH = {
    "sorry": ("I'm sorry, I can't get to the answer right now. Could you say that again?",),
    "closing": ("Sorry, I lost my thread there. Could you ask me that again?",),
}
_FILLERS = ("filler.late", "filler.very_late")


@dataclass(frozen=True, slots=True)
class Phrases:
    """Phrases by language code, then by occasion; English stands in for a missing phrase.

    The router needs two occasions. `sorry`: every connection failed before a word. `closing`: a
    reply broke off and nothing could finish it; it follows words already spoken.
    """

    by_language: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)

    def with_fillers(self, fillers: Mapping[str, Sequence[str]]) -> "Phrases":
        """Returns the phrases with other fillers for late answers, which are given by language."""
        both = {_code(language): texts for language, texts in fillers.items()}
        changed = {
            code: {**self.by_language.get(code, {}), **dict.fromkeys(_FILLERS, texts)}
            for code, texts in both.items()
        }
        return Phrases({**self.by_language, **changed})

    def pick(self, occasion: str, language: str, turn: int) -> str:
        """Returns a phrase; successive turns get different ones where there are several.

        Empty for an occasion that has no phrase, not even in English.
        """
        known = self.options(occasion, language)
        return known[turn % len(known)] if known else ""

    def options(self, occasion: str, language: str) -> Sequence[str]:
        """Returns all the phrases for an occasion, or words that a caller may answer with."""
        for phrases in (
            self.by_language.get(_code(language), {}),
            self.by_language.get("en", {}),
            _ENGLISH,
        ):
            if known := phrases.get(occasion):
                return known
        return ()

    def closing(self, given: str, language: str) -> str:
        """Returns the end of a reply that broke off after `given`, spacing included."""
        broken_off = "" if ends_sentence(given) else "…"
        space = "" if not broken_off and given[-1:].isspace() else " "
        return broken_off + space + self.pick("closing", language, 0)


def _code(language: str) -> str:
    """Returns the key of a language's phrases, by its tag."""
    return language[:2].lower()
