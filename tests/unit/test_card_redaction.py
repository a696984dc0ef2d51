"""Tests which words are taken out of a stored transcript, and which are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.voice.redaction import CARD, redact, redact_all

CARDS = ["4111111111111111", "378282246310005", "6011000990139424", "5105105105105100"]


def luhn_digit(body: str) -> str:
    """Returns the check digit, by the textbook."""
    total = 0
    for place, character in enumerate(reversed(body)):
        digit = int(character) * (2 if place % 2 == 0 else 1)
        total += digit - 9 if digit > 9 else digit
    return str(-total % 10)


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("form", [str, "-".join, lambda c: f"{c[:4]} {c[4:8]} {c[8:12]} {c[12:]}"])
def test_a_card_number_is_taken_out_however_it_is_written(card: str, form: object) -> None:
    assert callable(form)
    assert redact(f"It is {form(card)}, thanks.") == f"It is {CARD}, thanks."


def test_a_number_that_is_spelt_out_is_taken_out() -> None:
    said = "my card is four one one one, " + "one " * 11 + "one and that is it"
    assert redact(said) == f"my card is {CARD} and that is it"


@pytest.mark.parametrize(
    "text",
    [
        "Call +49 30 1234567 or 0800 123 4567.",
        "4111111111111112",  # its check digit is wrong
        "411111111111",  # too short
        "On 2026-05-04 at 09:30 we had 12 guests.",
        "0000 0000 0000 0000",
        "One of the three is for someone else.",
        "",
    ],
)
def test_other_words_and_numbers_stay(text: str) -> None:
    assert redact(text) == text


def test_words_around_a_card_number_stay_and_digits_right_beside_it_go() -> None:
    assert redact("Until 12/27, 4111 1111 1111 1111 and 9") == f"Until 12/{CARD} and 9"


def test_texts_of_a_tool_are_redacted_at_any_depth() -> None:
    given = [{"arguments": f'{{"card": "{CARDS[0]}"}}', "output": {"n": [CARDS[1], 7, None]}}]
    assert redact_all(given) == [
        {"arguments": f'{{"card": "{CARD}"}}', "output": {"n": [CARD, 7, None]}}
    ]


@given(
    body=st.from_regex(r"[1-9][0-9]{11,17}", fullmatch=True), gap=st.sampled_from(["", " ", "-"])
)
def test_every_number_with_a_valid_check_digit_is_taken_out(body: str, gap: str) -> None:
    number = gap.join(body + luhn_digit(body))
    assert number not in redact(f"x {number} y")
    assert CARD in redact(f"x {number} y")


@given(text=st.text(max_size=200))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    assert redact(redact(text)) == redact(text)
