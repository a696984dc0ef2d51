"""The words that are left of a text whose voice failed in the middle."""

import pytest

from agent.speech.fallback import Pace


@pytest.mark.parametrize(
    ("text", "seconds", "left"),
    [
        ("We open at nine.", 0.1, "We open at nine."),
        ("We open at nine.", 0.2, "open at nine."),
        ("We open at nine.", 0.75, "at nine."),
        ("We open\nat nine.", 0.75, "at nine."),
        ("We open at nine.", 1.5, "nine."),
        ("We open at nine.", 2.0, ""),
        ("Sure.", 0.1, "Sure."),
        ("\u6211\u4eec\u4e5d\u70b9\u5f00\u95e8", 0.2, "\u4e5d\u70b9\u5f00\u95e8"),
        ("", 1.0, ""),
    ],
)
def test_the_rest_of_a_text_begins_with_the_word_that_was_cut_off(
    text: str, seconds: float, left: str
) -> None:
    pace = Pace()
    pace.spoke("0123456789", 1.0)
    assert pace.left_of(text, seconds) == left


def test_a_voice_that_has_spoken_nothing_has_a_usual_pace() -> None:
    assert Pace().left_of("We open at nine every day.", 1.0) == "every day."


@pytest.mark.parametrize(
    ("text", "begin"),
    [
        ("\u60a8\u597d\uff0c\u6211\u4eec\u6bcf\u5929\u4e5d\u70b9\u5f00\u95e8\u3002", 5),
        ("\uc800\ud76c\ub294 \ub9e4\uc77c \uc544\ud649 \uc2dc\uc5d0 \uc5fd\ub2c8\ub2e4.", 4),
    ],
)
def test_a_voice_that_has_spoken_nothing_speaks_five_syllables_a_second(
    text: str, begin: int
) -> None:
    assert Pace().left_of(text, 1.0) == text[begin:]
