"""The time that words take to say, the end of a clause, and when the voice runs out of words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.options import RouterOptions
from llm_router.routing.speech import SpeechClock, ends_sentence, talking_speed, whole_clauses


@pytest.mark.parametrize(
    ("language", "seconds"),
    [("en", 2.0), ("en-GB", 2.0), ("EN", 2.0), ("zh", 6.0), ("zh-CN", 6.0), ("xx", 2.0), ("", 2.0)],
)
def test_words_take_as_long_as_their_language_does(language: str, seconds: float) -> None:
    assert 30 / talking_speed(language) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "We open at nine.",
            "Well, we open",
            "Is it? Yes",
            "First: coffee",
            "One\ntwo",
            "So… yes",
        ),
        *('He said "no." Then', "(at nine.) And", "九點開門。", "是的，我們", "はい、そうです"),
        "one two three four five six seven eight nine ten eleven",
        "ร้านของเราเปิดให้บริการทุกวันตั้งแต่เก้าโมงเช้าถึงหกโมงเย็นยกเว้นวันอาทิตย์และวันหยุดนักขัตฤกษ์",
    ],
)
def test_a_voice_can_start_on_a_clause(text: str) -> None:
    assert whole_clauses(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "We open at", "It costs 3.5", "It costs 3.50 euros", "at 3:30 or so", "www.a.test"),
        "one two three four five six seven eight nine ten",
    ],
)
def test_a_voice_cannot_start_on_half_a_clause(text: str) -> None:
    assert not whole_clauses(text)


@pytest.mark.parametrize(
    "text", ["Yes.", "Yes. ", 'He said "no."', "Is it?)", "Well…", "好。", "Oh!"]
)
def test_a_sentence_that_is_over(text: str) -> None:
    assert ends_sentence(text)


@pytest.mark.parametrize("text", ["", "Yes", "Yes,", "Yes. And", "3.5", "first:"])
def test_a_sentence_that_is_not_over(text: str) -> None:
    assert not ends_sentence(text)


def test_the_voice_is_silent_until_it_has_a_clause() -> None:
    clock = SpeechClock("en")
    clock.feed("We open", 1.0)
    clock.feed(" at nine", 2.0)
    assert clock.silent_from is None
    clock.feed(".", 3.0)
    assert clock.silent_from == pytest.approx(3.0 + len("We open at nine.") / 15)


def test_words_that_come_while_it_speaks_follow_on() -> None:
    clock = SpeechClock("en")
    clock.feed("x" * 29 + ".", 0.0)
    clock.feed("x" * 14 + ".", 1.0)
    assert clock.silent_from == pytest.approx(3.0)


def test_half_a_clause_is_not_said_until_it_is_whole() -> None:
    clock = SpeechClock("en")
    clock.feed("x" * 29 + ". And then", 0.0)
    assert clock.silent_from == pytest.approx(2.0)
    clock.feed(" home.", 1.0)
    assert clock.silent_from == pytest.approx(2.0 + len(" And then home.") / 15)


def test_words_without_punctuation_are_said_by_the_ten() -> None:
    clock = SpeechClock("en")
    clock.feed("Yes. " + "word " * 10, 0.0)
    assert clock.silent_from == pytest.approx(55 / 15)


def test_words_after_a_silence_start_from_their_own_time() -> None:
    clock = SpeechClock("en")
    clock.feed("x" * 29 + ".", 0.0)
    clock.feed("x" * 14 + ".", 10.0)
    assert clock.silent_from == pytest.approx(11.0)


@given(st.lists(st.tuples(st.text("ab ,.", max_size=30), st.floats(0.0, 5.0)), max_size=20))
def test_the_voice_never_runs_out_earlier_than_it_would_have(
    given_out: list[tuple[str, float]],
) -> None:
    clock, now, before = SpeechClock("en"), 0.0, None
    for text, pause in given_out:
        now += pause
        clock.feed(text, now)
        if clock.silent_from not in (before, None):
            assert clock.silent_from >= now
        assert before is None or (clock.silent_from or 0.0) >= before
        before = clock.silent_from


OPTIONS = RouterOptions(first_clause=2.0, clause_stall=0.6, spoken_stall=0.7)


def test_a_clause_is_due_some_time_after_the_first_word() -> None:
    clock = SpeechClock("en")
    clock.feed("We", 1.0)
    due = clock.more_due(first_word=1.0, last_chunk=2.5, lead=0.2, options=OPTIONS)
    assert due == 3.0, "however many words drip in between"


def test_before_the_first_clause_the_next_word_is_due_soon() -> None:
    clock = SpeechClock("en")
    clock.feed("We", 1.0)
    due = clock.more_due(first_word=1.0, last_chunk=1.0, lead=0.2, options=OPTIONS)
    assert due == 1.6


@pytest.mark.parametrize(("usual", "expected"), [(0.9, 1.9), (0.1, 1.6)])
def test_a_pause_that_is_usual_for_a_server_is_no_stall(usual: float, expected: float) -> None:
    clock = SpeechClock("en")
    clock.feed("We", 1.0)
    due = clock.more_due(
        first_word=1.0, last_chunk=1.0, lead=0.2, usual_pause=usual, options=OPTIONS
    )
    assert due == pytest.approx(expected)


def test_a_voice_that_has_run_out_bears_the_usual_pause_too() -> None:
    clock = SpeechClock("en")
    clock.feed("Yes.", 0.0)
    due = clock.more_due(first_word=0.0, last_chunk=5.0, lead=0.4, usual_pause=0.9, options=OPTIONS)
    assert due == pytest.approx(5.9)


def test_more_is_due_before_the_voice_runs_out_by_as_much_as_the_next_one_needs() -> None:
    clock = SpeechClock("en")
    clock.feed("x" * 149 + ".", 0.0)
    due = clock.more_due(first_word=0.0, last_chunk=0.0, lead=0.4, options=OPTIONS)
    assert due == pytest.approx(10.0 - 0.4)


def test_a_voice_that_has_run_out_bears_a_short_stall() -> None:
    clock = SpeechClock("en")
    clock.feed("Yes.", 0.0)
    due = clock.more_due(first_word=0.0, last_chunk=5.0, lead=0.4, options=OPTIONS)
    assert due == 5.7


def drips(clock: SpeechClock, pause: float, times: int) -> float:
    """Feeds clauses of 0.4 s, each `pause` s after the voice has fallen silent.

    Returns the time of the last one.
    """
    now = 0.0
    for _ in range(times):
        clock.feed("x" * 5 + ",", now)
        now = (clock.silent_from or 0.0) + pause
    return now - pause - 0.4


def test_many_short_pauses_are_borne_no_longer_than_a_long_one() -> None:
    clock = SpeechClock("en")
    last = drips(clock, 0.25, 4)  # 0.75 s of pauses, of which the talk pays 0.16 s back
    due = clock.more_due(first_word=0.0, last_chunk=last, lead=0.0, options=OPTIONS)
    assert due == pytest.approx(max(clock.silent_from or 0.0, last + 0.7 - 0.75 + 3 * 0.04))


def test_a_slow_speaker_is_no_drip() -> None:
    clock = SpeechClock("en")
    last = drips(clock, 0.04, 100)
    due = clock.more_due(first_word=0.0, last_chunk=last, lead=0.0, options=OPTIONS)
    assert due == pytest.approx(last + 0.7)


def test_pauses_before_a_takeover_do_not_count_against_the_new_speaker() -> None:
    clock = SpeechClock("en")
    last = drips(clock, 0.25, 4)
    clock.take_over(last + 1.0)
    clock.feed("x" * 5 + ",", last + 1.0)
    due = clock.more_due(first_word=0.0, last_chunk=last + 1.0, lead=0.0, options=OPTIONS)
    assert due == pytest.approx(last + 1.7)


@given(st.lists(st.text('ab ,.\n"…。', max_size=12), max_size=30))
def test_every_whole_clause_is_said_at_once_however_the_text_is_cut(pieces: list[str]) -> None:
    clock, waiting = SpeechClock("en"), ""
    for piece in pieces:
        waiting += piece
        whole = whole_clauses(waiting)
        assert clock.feed(piece, 0.0) == bool(whole)
        waiting = waiting[len(whole) :]


@given(
    st.lists(st.tuples(st.text("ab ,.", min_size=1, max_size=30), st.floats(0.0, 1.0)), min_size=1),
    st.floats(0.0, 1.0),
)
def test_words_that_make_no_clause_whole_put_off_when_more_are_due(
    given_out: list[tuple[str, float]], lead: float
) -> None:
    clock, now, due = SpeechClock("en"), 0.0, 0.0
    for text, pause in given_out:
        now += pause
        is_whole, before = clock.feed(text, now), due
        due = clock.more_due(first_word=given_out[0][1], last_chunk=now, lead=lead, options=OPTIONS)
        assert due >= before or is_whole
