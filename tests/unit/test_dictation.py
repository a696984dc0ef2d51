"""Tests when a spoken message is over, and which words it has."""

from hypothesis import given
from hypothesis import strategies as st

from agent.phone.dictation import Dictation, DictationRules

RULES = DictationRules(first_within=8, pause=4, noise=25, longest=120)


def test_a_message_is_over_some_seconds_after_its_last_words() -> None:
    dictation = Dictation(RULES, 0.0)
    dictation.voice(1.0, is_speaking=True)
    assert not dictation.is_over(20.0)  # no words yet: they come when the caller pauses
    dictation.voice(20.0, is_speaking=False)
    dictation.words("Please call me back.", 20.4, is_final=True)
    assert not dictation.is_over(24.3)
    assert dictation.is_over(24.4)
    assert dictation.text == "Please call me back."


def test_a_caller_who_says_nothing_is_not_waited_for() -> None:
    dictation = Dictation(RULES, 100.0)
    assert not dictation.is_over(107.9)
    assert dictation.is_over(108.0)
    assert dictation.text == ""


def test_noise_without_words_does_not_keep_the_line() -> None:
    dictation = Dictation(RULES, 0.0)
    dictation.voice(1.0, is_speaking=True)
    dictation.words("Hello.", 5.0, is_final=True)
    assert not dictation.is_over(29.9)
    assert dictation.is_over(30.0)


def test_no_message_is_longer_than_the_longest() -> None:
    dictation = Dictation(RULES, 0.0)
    dictation.voice(0.0, is_speaking=True)
    for second in range(0, 120, 10):
        dictation.words("More.", float(second), is_final=True)
        assert not dictation.is_over(float(second))
    assert dictation.is_over(120.0)


def test_words_that_never_became_final_are_not_lost() -> None:
    dictation = Dictation(RULES, 0.0, earlier="This is Ada.")
    dictation.words("Please", 1.0, is_final=False)
    dictation.words("Please  call", 2.0, is_final=False)
    dictation.words("Please call me.", 3.0, is_final=True)
    dictation.words("My number is", 4.0, is_final=False)
    assert dictation.text == "This is Ada. Please call me. My number is"


def test_speech_without_recognised_words_is_measured() -> None:
    dictation = Dictation(RULES, 0.0)
    dictation.voice(1.0, is_speaking=True)
    dictation.voice(2.5, is_speaking=False)
    dictation.voice(4.0, is_speaking=True)
    assert dictation.voiced(5.0) == 2.5


@given(st.lists(st.tuples(st.text(max_size=20), st.floats(0, 10), st.booleans()), max_size=60))
def test_every_final_word_is_in_the_message_in_order(said: list[tuple[str, float, bool]]) -> None:
    dictation, now = Dictation(RULES, 0.0), 0.0
    for text, pause, is_final in said:
        now += pause
        dictation.words(text, now, is_final=is_final)
    words = " ".join(text for text, _, is_final in said if is_final).split()
    assert dictation.text.split()[: len(words)] == words
    assert dictation.is_over(now + RULES.longest)
