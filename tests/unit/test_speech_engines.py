"""Tests those rules of STT and TTS engines that need neither sound nor network."""

import asyncio
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.speech.gate import SpeechGate
from agent.speech.splitter import TextSplitter
from agent.speech.stt import STTOptions
from agent.speech.tts import TTSOptions
from llm_router.errors import ConfigurationError

SPEECH, SILENCE = 0.9, 0.05


def steps(gate: SpeechGate, *parts: tuple[float, float]) -> list[str]:
    """Feeds the gate stretches of (seconds, probability); returns its steps without repetitions."""
    given: list[str] = []
    for seconds, probability in parts:
        for _ in range(round(seconds / 0.032)):
            step = gate.step(probability)
            if not given or given[-1] != step:
                given.append(step)
    return given


def test_silence_is_not_decoded() -> None:
    assert steps(SpeechGate(), (10, SILENCE)) == ["closed"]


def test_a_pause_comes_once_and_its_silence_is_not_decoded() -> None:
    assert steps(SpeechGate(), (1, SPEECH), (1, SILENCE)) == [
        "opens",
        "speech",
        "pause",
        "speech",
        "rests",
        "silence",
    ]


def test_an_utterance_at_rest_resumes_with_clear_speech() -> None:
    given = steps(SpeechGate(), (1, SPEECH), (1, SILENCE), (0.1, 0.4), (1, SPEECH), (1, SILENCE))
    assert given[4:] == [
        "rests",
        "silence",
        "resumes",
        "speech",
        "pause",
        "speech",
        "rests",
        "silence",
    ]


def test_each_pause_of_an_utterance_is_a_step() -> None:
    given = steps(SpeechGate(), (1, SPEECH), (0.2, SILENCE), (1, SPEECH), (0.2, SILENCE))
    assert given.count("pause") == 2


def test_a_soft_syllable_does_not_count_as_silence() -> None:
    assert steps(SpeechGate(), (1, SPEECH), (2, 0.4)) == ["opens", "speech"]


def test_an_utterance_without_an_end_times_out() -> None:
    assert steps(SpeechGate(), (1, SPEECH), (1.52, SILENCE))[-1] == "over"


def test_a_closed_gate_opens_again() -> None:
    gate = SpeechGate()
    steps(gate, (1, SPEECH), (0.2, SILENCE))
    gate.close()
    assert steps(gate, (1, SILENCE), (1, SPEECH)) == ["closed", "opens", "speech"]


def test_a_gate_closed_at_rest_opens_again() -> None:
    gate = SpeechGate()
    steps(gate, (1, SPEECH), (1, SILENCE))
    gate.close()
    assert steps(gate, (1, SPEECH)) == ["opens", "speech"]


async def pieces(chunks: Iterable[str], *, at_clauses: bool) -> list[str]:
    stream = TextSplitter(at_clauses=at_clauses).stream()
    for chunk in chunks:
        stream.push_text(chunk)
    stream.end_input()
    return [piece.token async for piece in stream]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sure. I can help.", ["Sure. ", "I can help."]),
        ("Yes, of course! When?", ["Yes, of course! ", "When?"]),
        ("It is 3.5 miles. Or four.", ["It is 3.5 miles. ", "Or four."]),
        ("Dr. Smith is in at 3 p.m. today.", ["Dr. Smith is in at 3 p.m. today."]),
        ("Am 3. Mai geht es.", ["Am 3. Mai geht es."]),
        ('He said "go." So go.', ['He said "go." ', "So go."]),
        ("One\nTwo", ["One\n", "Two"]),
        ("好的。明天见。", ["好的。", "明天见。"]),
        ("… Well. Yes.", ["… Well. ", "Yes."]),
        ("Prof. Day and approx. 5 of us.", ["Prof. Day and approx. 5 of us."]),
        ("It is No. 5. No. It is six.", ["It is No. 5. No. ", "It is six."]),
        ("On Jan. 3 or in Jan. We see.", ["On Jan. 3 or in Jan. ", "We see."]),
        ("Tea etc. and milk etc. Fine.", ["Tea etc. and milk etc. ", "Fine."]),
        ("12 Oak St. is it.", ["12 Oak St. is it."]),
        ("In der Hauptstr. 5. Ja.", ["In der Hauptstr. 5. Ja."]),
        (
            "Frau Dr. Au, ca. 5 km bzw. Mo. z. B. Ja.",
            ["Frau Dr. Au, ca. 5 km bzw. Mo. ", "z. B. Ja."],
        ),
        ("La Sra. Paz y el Sr. Gil.", ["La Sra. Paz y el Sr. Gil."]),
        ("Dhr. Jansen, bijv. Die. Ja.", ["Dhr. Jansen, bijv. Die. ", "Ja."]),
        ("Write to info@shop.example. Or call.", ["Write to info@shop.example. ", "Or call."]),
        (
            "See www.shop.example/menu. It is 9.30 Uhr.",
            ["See www.shop.example/menu. ", "It is 9.30 Uhr."],
        ),
        ("Sure. …", ["Sure. "]),
        ("…", ["…"]),
        ("", []),
    ],
)
async def test_a_text_is_split_at_its_sentences(text: str, expected: list[str]) -> None:
    assert await pieces([text], at_clauses=False) == expected


async def test_a_text_is_split_at_its_clauses_for_an_engine_that_starts_at_once() -> None:
    text = "Sure, I can help: we open at 9:30, and close at 1,000."
    assert await pieces([text], at_clauses=True) == [
        "Sure, ",
        "I can help: ",
        "we open at 9:30, ",
        "and close at 1,000.",
    ]


async def test_tiny_clauses_are_joined_but_the_first_is_given_at_once() -> None:
    text = "Well, on Monday, Tuesday, Friday, and in the evening. No, not now. Bye."
    assert await pieces([text], at_clauses=True) == [
        "Well, ",
        "on Monday, ",
        "Tuesday, Friday, ",
        "and in the evening. ",
        "No, not now. ",
        "Bye.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "9:00 – 17:00",
        "10 am – 6 pm",
        "$5 – $10",
        "1,200.50",
        "info@shop.example",
        "www.shop.example/menu?x=1",
        "+47 22 12 34 56",
        "Dr. Smith",
        "No. 5",
        "approx. 3.5 km",
        "29.11.2026",
    ],
)
@pytest.mark.parametrize("at_clauses", [False, True])
async def test_what_is_read_as_one_is_not_split_however_it_comes(
    text: str, at_clauses: bool
) -> None:
    assert await pieces(text, at_clauses=at_clauses) == [text]


async def test_a_dash_between_words_ends_a_clause() -> None:
    assert await pieces(["Yes – we do"], at_clauses=True) == ["Yes – ", "we do"]


async def test_a_clause_is_given_with_its_comma_before_the_next_word_comes() -> None:
    stream = TextSplitter(at_clauses=True).stream()
    for chunk in ("We open", " at nine,"):
        stream.push_text(chunk)
    assert (await anext(stream)).token == "We open at nine,"
    await stream.aclose()


async def test_the_word_no_is_given_as_soon_as_the_next_word_begins() -> None:
    stream = TextSplitter(at_clauses=False).stream()
    for chunk in ("No.", " ", "W"):
        stream.push_text(chunk)
    assert (await anext(stream)).token == "No. "
    await stream.aclose()


async def test_a_short_sentence_is_given_before_the_next_begins() -> None:
    stream = TextSplitter(at_clauses=False).stream()
    for chunk in ("Su", "re", ".", " "):
        stream.push_text(chunk)
    assert (await anext(stream)).token == "Sure. "
    await stream.aclose()


@given(st.lists(st.text(alphabet="ab1 .,!?…\n。", max_size=6)), st.booleans())
def test_the_pieces_joined_are_the_text(chunks: list[str], at_clauses: bool) -> None:
    text = "".join(chunks)
    said = "".join(asyncio.run(pieces(chunks, at_clauses=at_clauses)))
    assert text.startswith(said)
    assert not any(character.isalnum() for character in text[len(said) :])


@given(st.text(alphabet="ab1 .,!?…\n。"), st.booleans())
def test_a_text_split_at_once_is_the_same_text(text: str, at_clauses: bool) -> None:
    assert "".join(TextSplitter(at_clauses=at_clauses).tokenize(text)) == text


@pytest.mark.parametrize("options", [STTOptions, TTSOptions])
def test_a_key_is_not_in_what_options_show(options: type[STTOptions | TTSOptions]) -> None:
    assert "secret" not in repr(options(api_key="secret"))


@pytest.mark.parametrize("options", [STTOptions, TTSOptions])
@pytest.mark.parametrize("wrong", [{"timeout": 0.0}, {"base_url": "localhost:8000"}])
def test_options_that_cannot_work_are_refused(
    options: type[STTOptions | TTSOptions], wrong: dict[str, float | str]
) -> None:
    with pytest.raises(ConfigurationError):
        options(**wrong)  # type: ignore[arg-type]  # the table mixes two types
