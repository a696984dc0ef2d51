"""The phrases for when no model can answer."""

import pytest

from llm_router.routing.phrases import Phrases

PHRASES = Phrases(
    {
        "de": {"sorry": ("Entschuldigung.", "Noch einmal, bitte.")},
        "en": {"closing": ("Where was I?",)},
    }
)


@pytest.mark.parametrize("language", ["de", "de-AT", "DE"])
def test_the_callers_language_is_spoken(language: str) -> None:
    assert PHRASES.pick("sorry", language, 0) == "Entschuldigung."


def test_other_fillers_leave_other_languages_and_occasions_as_they_are() -> None:
    usual = {**PHRASES.by_language["de"], "filler.late": ("Moment.",)}
    changed = Phrases({**PHRASES.by_language, "fr": usual, "de": usual}).with_fillers(
        {"de-AT": ("Glei.", "I schau.")}
    )
    for occasion in ("filler.late", "filler.very_late"):
        assert changed.options(occasion, "de") == ("Glei.", "I schau.")
    assert changed.pick("filler.late", "fr", 0) == "Moment."
    assert changed.pick("sorry", "de", 0) == "Entschuldigung."
    assert changed.pick("closing", "en", 0) == "Where was I?"


def test_successive_turns_get_different_phrases() -> None:
    picked = [PHRASES.pick("sorry", "de", turn) for turn in range(4)]
    assert picked == ["Entschuldigung.", "Noch einmal, bitte."] * 2


def test_a_phrase_that_a_language_lacks_is_said_in_the_given_english() -> None:
    assert PHRASES.pick("closing", "de", 0) == "Where was I?"
    assert PHRASES.pick("closing", "xx", 0) == "Where was I?"


@pytest.mark.parametrize("language", ["de", "en", "xx", ""])
@pytest.mark.parametrize("occasion", ["sorry", "closing"])
def test_the_router_is_never_without_words(occasion: str, language: str) -> None:
    said = Phrases().pick(occasion, language, 7)
    assert said.endswith(("?", "."))


@pytest.mark.parametrize(
    ("given", "closing"),
    [
        ("We open at", "… Where was I?"),
        ("We open at ", "… Where was I?"),
        ("We open at nine.", " Where was I?"),
        ("We open at nine. ", "Where was I?"),
    ],
)
def test_a_reply_that_broke_off_is_closed_after_its_last_word(given: str, closing: str) -> None:
    assert PHRASES.closing(given, "en") == closing


def test_an_unknown_occasion_has_no_phrase() -> None:
    assert PHRASES.pick("greeting", "de", 0) == ""
