"""Tests of decoding tokens and of stop sequences."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.providers.transformers.text import StopFilter, TokenDecoder


def utf8(tokens: Sequence[int]) -> str:
    """Decodes tokens that are bytes."""
    return bytes(tokens).decode(errors="replace")


def pieces_of_a_sentence(tokens: Sequence[int]) -> str:
    """Decodes like SentencePiece, which writes no space before its first token."""
    return " ".join(("We", "open", "at", "nine")[token] for token in tokens)


@given(st.text(alphabet="aé€😀 ", max_size=20), st.text(alphabet="aé€😀 ", max_size=20))
def test_characters_are_complete_however_many_tokens_they_have(before: str, said: str) -> None:
    words = TokenDecoder(utf8, list(before.encode()))
    assert "".join(words.feed(byte) for byte in said.encode()) == said


def test_a_space_that_depends_on_the_word_before_is_decoded() -> None:
    words = TokenDecoder(pieces_of_a_sentence, [0, 1])
    assert [words.feed(token) for token in (2, 3)] == [" at", " nine"]


@given(
    st.text(alphabet="ab.", max_size=30),
    st.lists(st.text(alphabet="ab.", min_size=1, max_size=3), max_size=3),
    st.integers(1, 4),
)
def test_text_ends_before_the_first_stop_however_it_is_split(
    text: str, stops: list[str], size: int
) -> None:
    reader, said = StopFilter(stops), ""
    for place in range(0, len(text), size):
        said += reader.feed(text[place : place + size])
        if reader.reached:
            break
    else:
        said += reader.close()
    assert text.startswith(said)
    assert not any(stop in said for stop in stops)
    assert reader.reached is any(stop in text for stop in stops)
    if not reader.reached:
        assert said == text


@pytest.mark.parametrize("stops", [[], [""]])
def test_nothing_is_withheld_without_stops(stops: list[str]) -> None:
    assert StopFilter(stops).feed("words") == "words"
