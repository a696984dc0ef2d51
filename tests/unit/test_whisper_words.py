"""Tests which words of a whisper model are given to the caller's agent, and when."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from livekit.local_inference import VAD_WINDOW_SAMPLES

from agent.speech.gate import WINDOW_SECONDS
from agent.speech.hallucination import spoken_words
from agent.speech.process.models import Decoded, Word
from agent.speech.repetition import without_loops
from agent.speech.stt import STTOptions
from agent.speech.whisper_folder import check_whisper
from agent.stt.whisper import missing_languages
from agent.stt.whisper.utterance import Utterance, cut_in_pieces
from llm_router.errors import ConfigurationError

WINDOW = bytes(VAD_WINDOW_SAMPLES * 2)
SPEECH = 0.9


def said(text: str, begin: float = 0.0, each: float = 0.3) -> tuple[Word, ...]:
    """Returns the words of the text, one after the other."""
    return tuple(
        Word(text=word, start=begin + each * place, end=begin + each * (place + 1), probability=0.9)
        for place, word in enumerate(text.split())
    )


def texts(words: Iterable[Word]) -> str:
    return " ".join(word.text for word in words)


# Repetition


@pytest.mark.parametrize(
    "text",
    ["no no no", "No, no, no, no, that is not it", "1 1 4", "one one four one one four", "bye bye"],
)
def test_words_that_a_caller_repeats_stay(text: str) -> None:
    assert texts(without_loops(said(text))) == text


def test_a_sentence_repeated_in_no_time_is_left_out() -> None:
    loop = said("can you help", begin=0.9, each=0.01)
    words = without_loops([*said("can you help"), *loop, *loop])
    assert texts(words) == "can you help"


def test_a_word_repeated_in_no_time_is_left_out() -> None:
    assert texts(without_loops(said("goodbye " * 5, each=0.1))) == "goodbye"


def test_words_piled_at_the_end_are_left_out() -> None:
    pile = said("1 1 4 7 7 2 1 1", begin=2.66, each=0.0)
    words = without_loops([*said("1 1 4 7 7 2", each=0.4), *pile])
    assert texts(words) == "1 1 4 7 7 2"


def test_no_words_have_no_loops() -> None:
    assert without_loops([]) == ()


# Words made up of noise


def decoded(text: str, no_speech: float, average: float) -> Decoded:
    return Decoded(words=said(text), no_speech=no_speech, average_log_probability=average)


@pytest.mark.parametrize(
    ("text", "no_speech", "average", "speech"),
    [
        pytest.param(". . . .", 0.1, -0.1, [SPEECH] * 90, id="marks"),
        pytest.param("You", 0.8, -3.8, [0.05] * 125, id="noise"),
        pytest.param("Beep Beep Beep", 0.8, -0.1, [0.05] * 125, id="a tone"),
        pytest.param("I'm sorry.", 0.84, -2.0, [SPEECH] * 125, id="breath"),
        pytest.param("Thank you for watching.", 0.49, -1.5, [SPEECH] * 125, id="a crowd"),
        pytest.param("Thank you so much everyone.", 0.48, -0.9, [SPEECH] * 125, id="a full room"),
        pytest.param("You", 0.41, -1.5, [SPEECH] * 60, id="a song"),
        pytest.param("Thank you.", 0.45, -1.5, None, id="no detector"),
        pytest.param("Thank you.", 0.7, -0.9, [SPEECH] * 6, id="a knock"),
    ],
)
def test_words_made_up_of_noise_are_dropped(
    text: str, no_speech: float, average: float, speech: list[float] | None
) -> None:
    assert spoken_words(decoded(text, no_speech, average), speech) == ()


@pytest.mark.parametrize(
    ("text", "no_speech", "average", "speech"),
    [
        pytest.param("You", 0.49, -1.75, [SPEECH] * 8, id="quiet"),
        pytest.param("Nope.", 0.52, -1.2, [0.1] * 12 + [SPEECH] * 9, id="short"),
        pytest.param("Thank you.", 0.1, -0.2, [SPEECH] * 25, id="polite"),
        pytest.param("Thank you.", 0.1, -0.2, None, id="no detector"),
        pytest.param("What time is it?", 0.7, -0.3, [SPEECH] * 60, id="in noise"),
    ],
)
def test_words_that_were_spoken_stay(
    text: str, no_speech: float, average: float, speech: list[float] | None
) -> None:
    assert texts(spoken_words(decoded(text, no_speech, average), speech)) == text


# The running utterance


def fill(utterance: Utterance, seconds: float) -> None:
    for _ in range(round(seconds / WINDOW_SECONDS)):
        utterance.add(WINDOW, SPEECH, is_speech=True)


def take(utterance: Utterance, text: str, took: float = 0.1, each: float = 0.3) -> None:
    words = Decoded(words=said(text, each=each), average_log_probability=-0.2)
    utterance.take(utterance.excerpt(), words, took)


def test_words_on_which_two_decodes_agree_are_given_out() -> None:
    utterance = Utterance("en")
    fill(utterance, 1)
    take(utterance, "what time")
    assert utterance.agreed_text == ""
    take(utterance, "What time, do you")
    assert utterance.agreed_text == "What time,"
    take(utterance, "what times do you open")
    assert utterance.agreed_text == "what"
    assert utterance.text == "what times do you open"


def test_decodes_are_further_apart_the_longer_they_take() -> None:
    utterance = Utterance("en")
    fill(utterance, 0.5)
    assert not utterance.is_due()
    fill(utterance, 0.2)
    assert utterance.is_due()
    take(utterance, "what", took=0.5)
    fill(utterance, 2.9)
    assert not utterance.is_due()
    fill(utterance, 0.2)
    assert utterance.is_due()


def test_the_first_decode_of_an_utterance_waits_as_long_as_those_before_it_took() -> None:
    utterance = Utterance("en", took=0.3)
    fill(utterance, 1.7)
    assert not utterance.is_due()
    fill(utterance, 0.2)
    assert utterance.is_due()


def test_a_busy_process_is_asked_half_as_often() -> None:
    utterance = Utterance("en")
    fill(utterance, 1)
    take(utterance, "what")
    utterance.refuse()
    fill(utterance, 1.9)
    assert not utterance.is_due()
    fill(utterance, 0.2)
    assert utterance.is_due()


def test_silence_after_the_words_needs_no_further_decode() -> None:
    utterance = Utterance("en")
    fill(utterance, 1)
    excerpt = utterance.excerpt()
    assert not utterance.is_covered
    utterance.add(WINDOW, 0.1, is_speech=False)
    assert utterance.covers(excerpt)
    utterance.take(excerpt, Decoded(words=said("yes")), 0.1)
    assert utterance.is_covered
    fill(utterance, 0.1)
    assert not utterance.covers(excerpt)
    assert not utterance.is_covered


def test_long_audio_is_settled_at_the_last_sentence_on_which_two_decodes_agree() -> None:
    utterance = Utterance("en")
    text = "I called last week. And nobody answered the phone so"
    fill(utterance, 8.5)
    take(utterance, text, each=0.85)
    take(utterance, text, each=0.85)
    excerpt = utterance.excerpt()
    assert excerpt.before == "I called last week."
    assert 8.5 - 3.4 - 0.2 <= len(excerpt.samples) / 16_000 <= 8.5 - 3.4 + 0.2
    assert utterance.text == text


@pytest.mark.parametrize("text", ["", "one two", "hmm " * 30])
def test_audio_that_is_not_settled_is_bounded(text: str) -> None:
    utterance = Utterance("en")
    for _ in range(10):
        while not utterance.is_too_long:
            fill(utterance, 0.5)
        take(utterance, text)
        assert len(utterance.excerpt().samples) / 16_000 < Utterance.LONGEST
        assert len(utterance.excerpt().before.split()) <= Utterance.CONTEXT


def test_a_rest_settles_all_words_of_a_long_utterance() -> None:
    utterance = Utterance("en")
    fill(utterance, 5)
    take(utterance, "one two three")
    utterance.resume()
    fill(utterance, 1)
    take(utterance, "four")
    assert utterance.text == "one two three four"
    assert utterance.excerpt().before == "one two three"
    assert len(utterance.excerpt().samples) / 16_000 == pytest.approx(1, abs=0.1)


def test_a_rest_settles_nothing_before_all_words_are_known() -> None:
    utterance = Utterance("en")
    fill(utterance, 5)
    utterance.resume()
    assert utterance.excerpt().before == ""
    assert len(utterance.excerpt().samples) / 16_000 == pytest.approx(5, abs=0.1)


def test_confidence_is_the_mean_of_the_words() -> None:
    utterance = Utterance("en")
    assert utterance.confidence == 0
    fill(utterance, 1)
    take(utterance, "yes please")
    assert utterance.confidence == pytest.approx(0.9)


def test_a_language_without_spaces_has_none_between_its_words() -> None:
    utterance = Utterance("ja")
    fill(utterance, 1)
    take(utterance, "\u306f\u3044 \u305d\u3046")
    assert utterance.text == "\u306f\u3044\u305d\u3046"


def test_long_audio_is_cut_at_its_quietest_windows() -> None:
    speech = [SPEECH] * 1000
    speech[300] = speech[600] = 0.1
    assert cut_in_pieces(speech) == [0, 300, 600, 828, 1000]


def test_no_audio_has_no_pieces() -> None:
    assert cut_in_pieces([]) == [0]


# The folder of a model


def whisper(folder: Path, entries: int) -> Path:
    (folder / "model.bin").touch()
    codes = ["en", "de", "no", "yue"]
    (folder / "tokenizer.json").write_text(json.dumps([f"<|{code}|>" for code in codes]))
    (folder / "vocabulary.json").write_text(json.dumps(["x"] * entries))
    return folder


@pytest.mark.parametrize(
    ("language", "code"),
    [("en-GB", "en"), ("de", "de"), ("nb-NO", "no"), ("de_CH", "de"), ("yue", "yue")],
)
def test_a_tag_becomes_whispers_own_code(tmp_path: Path, language: str, code: str) -> None:
    assert check_whisper(whisper(tmp_path, 51_865), language) == code


@pytest.mark.parametrize(
    ("entries", "language", "reason"),
    [
        (51_864, "de", "knows English alone, not 'de': choose a multilingual"),
        (51_865, "xx", "does not know the language 'xx': set AGENT_LANGUAGE"),
    ],
)
def test_a_language_that_the_model_does_not_know_is_refused(
    tmp_path: Path, entries: int, language: str, reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        check_whisper(whisper(tmp_path, entries), language)


def test_the_languages_to_which_callers_cannot_change_are_named(tmp_path: Path) -> None:
    for name, entries in (("one", 51_864), ("many", 51_865)):
        (tmp_path / name).mkdir()
        whisper(tmp_path / name, entries)
    options = STTOptions(language="en", others=("de", "xx"), model=f"{tmp_path}/one")
    assert [*missing_languages(options)] == ["de", "xx"]
    assert [*missing_languages(replace(options, model=f"{tmp_path}/many"))] == ["xx"]


def test_a_folder_without_the_files_of_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"has no model\.bin and no tokenizer\.json: give"):
        check_whisper(tmp_path, "en")
    (tmp_path / "model.bin").touch()
    with pytest.raises(ConfigurationError, match=r"has no tokenizer\.json: give"):
        check_whisper(tmp_path, "en")


def test_a_damaged_tokenizer_is_refused(tmp_path: Path) -> None:
    whisper(tmp_path, 51_865)
    (tmp_path / "tokenizer.json").write_bytes(np.arange(255, dtype=np.uint8).tobytes())
    with pytest.raises(ConfigurationError, match=r"its tokenizer\.json is damaged"):
        check_whisper(tmp_path, "de")
