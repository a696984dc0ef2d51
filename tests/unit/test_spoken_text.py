"""Tests how written forms are read aloud, by the table in spoken_text.tsv and by invariants."""

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.speech.spoken_text import spoken_text
from agent.speech.spoken_text.words import all_words

TABLE = Path(__file__).with_name("spoken_text.tsv").read_text("utf-8")
ROWS = [line.split("\t") for line in TABLE.splitlines() if not line.startswith("#")]
LANGUAGES = ["en", "en-GB", "de", "fr", "es", "it", "pt", "nl"]

PIECES = [
    *("$", "€", "£", "EUR", "R$", "12", "5", "1", "0", "12.50", "12,50", "1,200", "1 200", "2026"),
    *(":", "9:30", "9:00", "17:00", "00", "am", "p.m.", "Uhr", "uur", "h", "9h30", "-", "–", " - "),
    *("Mon", "Fri", "Mo", "lun", "Nov", "3.", "Mai", "November", "2026-11-29", "29.11.2026"),
    *("@", ".", "/", "shop", "example", "www.", "https://", "info@shop.example", "_", "?", "#"),
    *("Dr.", "St.", "etc.", "No.", "e.g.", "p. ex.", "min.", "Str.", "vs.", "Smith", "A", "AB"),
    *("km", "°C", "%", "kg", "m", "M", "Mio.", "million", "1/2", "½", "+47", "(555)", "555-0134"),
    *("&", "~", "×", "→", "**", "`", "•", "A1B2", "X-7", "FAQ", "24/7", "a", "the", "é", "\n"),
]  # fmt: skip
TEXTS = st.lists(st.sampled_from([*PIECES, " "]) | st.text(max_size=3), max_size=12).map("".join)
WORDS = ["one", "zwei", "été", "niño", "Hello", "then", "good"]


@pytest.mark.parametrize(("language", "written", "spoken"), ROWS)
def test_a_written_form_is_read_as_people_say_it(language: str, written: str, spoken: str) -> None:
    assert spoken_text(written, language) == spoken


@pytest.mark.parametrize(("language", "written", "spoken"), ROWS)
def test_what_is_read_stays_as_it_is(language: str, written: str, spoken: str) -> None:
    assert spoken_text(spoken, language) == spoken


def test_every_language_with_phrases_has_words_of_its_own() -> None:
    assert set(all_words()) == {"en", "de", "fr", "es", "it", "pt", "nl"}
    assert {row[0].split("-")[0] for row in ROWS} == set(all_words()) | {"nb"}


@given(TEXTS | st.text(), st.sampled_from([*LANGUAGES, "nb", "", "x" * 40]))
@example("", "en")
@example("\ud800 $5", "en")
def test_any_text_can_be_read_and_reading_it_twice_changes_nothing(
    text: str, language: str
) -> None:
    spoken = spoken_text(text, language)
    assert spoken_text(spoken, language) == spoken
    assert not text.strip() or spoken.strip()


@given(st.lists(st.sampled_from(WORDS), max_size=9), st.lists(st.sampled_from(PIECES), min_size=9),
       st.sampled_from(LANGUAGES))  # fmt: skip
def test_no_word_is_lost_or_said_twice(words: list[str], between: list[str], language: str) -> None:
    text = " ".join(f"{word} {piece}" for word, piece in zip(words, between, strict=False))
    spoken = re.findall(r"\w+", spoken_text(text, language))
    assert [word for word in spoken if word in WORDS] == words


@given(st.lists(st.integers(0, 10**6), max_size=6), st.sampled_from(LANGUAGES))
def test_plain_numbers_are_left_to_the_voice(numbers: list[int], language: str) -> None:
    text = " and so ".join(map(str, numbers))
    assert spoken_text(text, language) == text


@pytest.mark.parametrize("language", LANGUAGES)
def test_plain_words_are_left_as_they_are(language: str) -> None:
    text = "Well, of course I can: a twenty-five-year-old idea (of hers). May I? So-so… Sat down."
    assert spoken_text(text, language) == text


HOSTILE = [
    *("1", "1,", "1.", "a.", "a@", "$1", "1-", "1:", "A1-", "1 ", "/a", "9:30-", "http://", "(1)"),
    *("Mon-", "Nov ", "z. B. ", "**", "+1 ", "1/2 ", "-", "a-", "\u00a01", "1'", "5 Oak "),
]  # fmt: skip


@pytest.mark.timeout(10)  # a fuse: with a search that grows with the square it takes minutes
@pytest.mark.parametrize("piece", HOSTILE)
def test_no_text_makes_the_work_grow_faster_than_itself(piece: str) -> None:
    text = piece * (60_000 // len(piece))
    assert len(spoken_text(text, "en")) < 30 * len(text)
