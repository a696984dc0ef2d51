"""Tests who is taken to have answered a call: the rule, the model's word, and the beep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.phone.answering import (
    CONNECTS_WITHIN,
    DOUBT_SILENCE,
    HELLO_SILENCE,
    MACHINE_SPEECH,
    NO_SPEECH,
    QUESTION,
    Screening,
    Verdict,
    read_answer,
)
from agent.phone.answering_words import is_hello, is_machine_talk, is_screening, wanted_key
from agent.phone.beep import RATE, Tone, ToneDetector


def screening(*speech: tuple[float, float], words: str = "") -> Screening:
    found = Screening(0.0)
    for begin, end in speech:
        found.speech_began(begin)
        found.speech_ended(end)
    if words:
        found.add_words(words, is_final=True)
    return found


def test_a_short_hello_is_a_person_half_a_second_after_it() -> None:
    hello = screening((0.5, 1.0))
    assert hello.verdict(1.4) is None
    assert hello.verdict(1.5) is Verdict.PERSON


@pytest.mark.parametrize("words", ["Hello?", "Ja, hallo", "もしもし", "Good morning."])
def test_a_hello_whose_words_are_known_is_a_person_sooner(words: str) -> None:
    hello = screening((0.5, 1.0), words=words)
    assert hello.verdict(1.0 + HELLO_SILENCE - 0.01) is None
    assert hello.verdict(1.0 + HELLO_SILENCE) is Verdict.PERSON
    assert hello.next_check(1.0 + 0.25) == pytest.approx(HELLO_SILENCE - 0.25)


@pytest.mark.parametrize("words", ["", "Hello you have", "Ann", "Good morning Miller and Sons"])
def test_words_that_may_go_on_are_no_hello(words: str) -> None:
    assert not is_hello(words)


def test_words_of_a_machine_decide_at_once() -> None:
    talking = Screening(0.0)
    talking.speech_began(0.5)
    talking.add_words("Hi, you have reached the", is_final=False)
    assert talking.verdict(1.5) is Verdict.MACHINE


def test_a_long_greeting_is_a_machine_while_it_still_speaks() -> None:
    talking = Screening(0.0)
    talking.speech_began(0.5)
    talking.add_words("Hello and welcome to the town hall of Springfield", is_final=False)
    assert talking.verdict(0.4 + MACHINE_SPEECH) is None
    assert talking.verdict(0.6 + MACHINE_SPEECH) is Verdict.MACHINE


@pytest.mark.parametrize("words", ["", "Hello? Hello?"])
def test_a_noisy_line_is_talked_to_though_it_sounds_like_long_speech(words: str) -> None:
    noisy = Screening(0.0)
    noisy.speech_began(0.5)
    noisy.add_words(words, is_final=True)
    assert noisy.verdict(0.6 + MACHINE_SPEECH) is Verdict.UNSURE


@pytest.mark.parametrize("speech", [[], [(0.2, 0.8)]])
def test_a_tone_before_any_greeting_or_after_a_hello_makes_no_machine(
    speech: list[tuple[float, float]],
) -> None:
    line = screening(*speech)
    line.beeped(0.9)
    assert line.verdict(1.0) is None
    assert line.verdict(NO_SPEECH) is (Verdict.PERSON if speech else Verdict.UNSURE)


@pytest.mark.parametrize(
    "greeting",
    [
        screening((0.2, 3.0)),
        screening((0.2, 1.8), words="Ann is out but you may say now what you want"),
        screening((0.2, 1.0), words="You have reached Ann."),
    ],
)
def test_a_beep_after_a_greeting_is_that_of_a_machine(greeting: Screening) -> None:
    greeting.beeped(3.2)
    assert greeting.beeps == 1
    assert greeting.verdict(3.2) is Verdict.MACHINE


def test_silence_is_talked_to_after_four_seconds() -> None:
    quiet = Screening(0.0)
    assert quiet.verdict(NO_SPEECH - 0.1) is None
    assert quiet.verdict(NO_SPEECH) is Verdict.UNSURE


def test_a_model_is_asked_once_about_a_greeting_in_between() -> None:
    words = "Good morning, Miller and Sons, Anna Miller speaking, what can I do?"
    company = screening((0.3, 4.0), words=words)
    assert company.verdict(4.7) is None
    assert company.question(4.7) == ""
    assert company.question(4.9) == QUESTION + words
    assert company.question(5.0) == ""


def test_no_model_is_waited_for_more_than_six_seconds_after_the_answer() -> None:
    company = screening((0.3, 3.0), words="Good morning, Miller and Sons, Anna Miller speaking.")
    assert company.verdict(5.9) is None
    assert company.verdict(6.0) is Verdict.UNSURE


@given(st.lists(st.floats(0.05, 3.0), max_size=12), st.text(max_size=200))
def test_there_is_a_verdict_soon_after_any_speech_and_the_next_check_finds_it(
    pauses: list[float], words: str
) -> None:
    now, found, speaks = 0.0, Screening(0.0), False
    for pause in pauses:
        now += pause
        (found.speech_ended if speaks else found.speech_began)(now)
        speaks = not speaks
    found.add_words(words, is_final=True)
    for _ in range(100):
        if found.verdict(now) is not None:
            break
        wait = found.next_check(now)
        assert wait > 0
        now += wait
    assert found.verdict(now + 1e-6) is not None
    assert now <= sum(pauses) + MACHINE_SPEECH + 2.5


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("PERSON", Verdict.PERSON),
        (" Machine.", Verdict.MACHINE),
        ("It is a human.", Verdict.PERSON),
        ("I cannot tell", Verdict.UNSURE),
        ("", Verdict.UNSURE),
    ],
)
def test_one_word_of_the_model_decides(text: str, verdict: Verdict) -> None:
    assert read_answer(text) is verdict


@pytest.mark.parametrize(
    "words",
    [
        "Please leave a message, after the tone.",
        "You’ve reached Ann.",
        "Bitte HINTERLASSEN Sie eine Nachricht",
        "Laissez un message après le bip",
        "Proszę zostawić wiadomość po sygnale.",
        "Lämna ett meddelande efter tonen",
        "発信音の後にお話しください",
    ],
)
def test_machines_are_known_by_what_they_say(words: str) -> None:
    assert is_machine_talk(words)


def test_a_person_is_not_known_as_a_machine_by_usual_words() -> None:
    assert not is_machine_talk("Hello, this is Ann, who is calling please?")


# ── Services that ask first ──────────────────────────────────────────────────────────────────────

GOOGLE = (
    "Hi, the person you're calling is using a screening service from Google, and will get a copy of"
    " this conversation. Go ahead and say your name and why you're calling."
)
APPLE = "Hi. If you record your name and reason for calling, I'll see if this person is available."
PRESS_ONE = "To be connected, please press one."


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (GOOGLE, ""),
        (APPLE, ""),
        (PRESS_ONE, "1"),
        ("You have a call. To accept this call, press 1.", "1"),
        ("Um den Anruf anzunehmen, drücken Sie die Taste eins", "1"),
        ("Prove you are human: press the star key", "*"),
    ],
)
def test_a_service_that_asks_first_is_no_machine_and_is_spoken_to_once_it_is_silent(
    words: str, key: str
) -> None:
    service = Screening(0.0)
    service.speech_began(0.3)
    service.add_words(words, is_final=False)
    assert service.verdict(8.0) is None
    assert 0.5 < service.next_check(8.0) < 20
    service.speech_ended(9.0)
    assert service.verdict(9.0 + DOUBT_SILENCE - 0.01) is None
    assert service.verdict(9.0 + DOUBT_SILENCE) is Verdict.SCREENED
    assert wanted_key(words) == key


def test_a_service_that_talks_on_and_on_is_spoken_to() -> None:
    service = Screening(0.0)
    service.speech_began(0.0)
    service.add_words(GOOGLE, is_final=False)
    assert service.verdict(20.1) is Verdict.SCREENED


@pytest.mark.parametrize(
    "words",
    [
        "Press one to leave a message for Ann",
        "You have reached Ann. State your name after the tone.",
        "Hello, this is Ann, what is it?",
    ],
)
def test_machines_and_persons_do_not_screen(words: str) -> None:
    assert not is_screening(words) or is_machine_talk(words)


def test_a_person_whom_a_service_calls_first_has_time_to_answer() -> None:
    called = Screening(10.0, CONNECTS_WITHIN)
    assert called.verdict(10.0 + CONNECTS_WITHIN - 0.1) is None
    assert called.verdict(10.0 + CONNECTS_WITHIN) is Verdict.UNSURE


# ── Fax ──────────────────────────────────────────────────────────────────────────────────────────


def listened(sound: NDArray[np.int16]) -> Screening:
    found = Screening(0.0)
    for at, tone in tones(sound):
        found.toned(tone, at)
    return found


def test_a_fax_that_calls_is_a_machine_after_its_second_tone() -> None:
    one = np.concatenate([silence(0.5), tone(0.5, 1_100.0), silence(3.0)])
    first = listened(one)
    assert first.verdict(NO_SPEECH) is None  # the next tone may come
    assert first.verdict(5.1) is Verdict.UNSURE
    both = listened(np.concatenate([one, tone(0.5, 1_100.0), silence(0.2)]))
    assert (both.is_fax, both.verdict(4.7)) == (True, Verdict.MACHINE)


def test_a_fax_that_answers_is_a_machine_while_its_tone_sounds() -> None:
    found = tones(np.concatenate([silence(1.0), tone(2.2, 2_100.0)]))
    assert [round(at, 1) for at, _ in found] == [3.0]
    assert listened(np.concatenate([silence(1.0), tone(2.2, 2_100.0)])).is_fax


def test_a_beep_at_the_pitch_of_a_fax_after_a_greeting_is_a_beep() -> None:
    greeting = screening((0.2, 3.0))
    for at, found in tones(np.concatenate([voice(3.0), tone(0.5, 1_100.0), silence(0.5)])):
        greeting.toned(found, at)
    assert (greeting.beeps, greeting.is_fax) == (1, False)


@pytest.mark.parametrize("frequency", [700.0, 1_000.0, 1_400.0])
@pytest.mark.parametrize("noise", [100.0, 800.0])
def test_a_beep_in_noise_is_found(frequency: float, noise: float) -> None:
    chance = np.random.default_rng(7)
    sound = np.concatenate([voice(3.0), tone(0.5, frequency, 6_000.0), silence(0.5)])
    noisy = sound + chance.normal(0.0, noise, len(sound)).astype(np.int16)
    (found,) = beeps(noisy)
    assert 3.5 <= found <= 3.7


def test_music_is_no_beep_and_no_fax() -> None:
    notes = [262, 330, 392, 523, 392, 330] * 4
    parts = []
    for pitch in notes:
        at = np.arange(int(0.4 * RATE)) / RATE
        chord = sum(np.sin(2 * np.pi * pitch * part * at) / part for part in (1, 1.5, 2, 3))
        parts.append(np.asarray(3_000 * chord * np.exp(-2 * at), dtype=np.int16))
    assert tones(np.concatenate(parts)) == []


# ── The beep ─────────────────────────────────────────────────────────────────────────────────────


def tone(seconds: float, frequency: float = 1_000.0, level: float = 8_000.0) -> NDArray[np.int16]:
    at = np.arange(int(seconds * RATE)) / RATE
    return (level * np.sin(2 * np.pi * frequency * at)).astype(np.int16)


def silence(seconds: float) -> NDArray[np.int16]:
    return np.zeros(int(seconds * RATE), dtype=np.int16)


def voice(seconds: float) -> NDArray[np.int16]:
    """Makes a sound like a voice: a buzz with harmonics whose pitch moves."""
    at = np.arange(int(seconds * RATE)) / RATE
    pitch = 2 * np.pi * np.cumsum(140 + 30 * np.sin(2 * np.pi * 1.3 * at)) / RATE
    buzz = sum(np.sin(number * pitch) / number for number in range(1, 12))
    return np.asarray(4_000 * buzz, dtype=np.int16)


def beeps(sound: NDArray[np.int16], frame: int = 160) -> list[float]:
    """Returns the times (s) at which beeps ended, of sound in frames of so many samples."""
    return [at for at, tone in tones(sound, frame) if tone.is_beep]


def tones(sound: NDArray[np.int16], frame: int = 160) -> list[tuple[float, Tone]]:
    """Returns the tones of a sound, with the times (s) at which each was found."""
    detector = ToneDetector()
    return [
        ((at + frame) / RATE, tone)
        for at in range(0, len(sound), frame)
        for tone in detector.push(sound[at : at + frame])
    ]


@pytest.mark.parametrize("frequency", [440.0, 1_000.0, 1_400.0, 2_000.0])
@pytest.mark.parametrize("level", [600.0, 20_000.0])
@pytest.mark.parametrize("frame", [160, 333])
def test_a_beep_after_a_greeting_is_found_at_its_end(
    frequency: float, level: float, frame: int
) -> None:
    sound = np.concatenate([voice(3.0), tone(0.5, frequency, level), silence(0.5)])
    (found,) = beeps(sound, frame)
    assert 3.5 <= found <= 3.65


def test_speech_alone_has_no_beep() -> None:
    assert beeps(np.concatenate([voice(8.0), silence(1.0)])) == []


def test_the_tone_of_a_dead_line_is_no_beep() -> None:
    assert beeps(np.concatenate([tone(6.0, 425.0), silence(0.5)])) == []


def test_a_click_is_no_beep() -> None:
    assert beeps(np.concatenate([silence(1.0), tone(0.06), silence(1.0)])) == []


@given(st.binary(max_size=4_000))
def test_any_sound_is_taken(noise: bytes) -> None:
    ToneDetector().push(np.frombuffer(noise[: len(noise) // 2 * 2], dtype=np.int16))


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("Press 2 to decline or 1 to accept.", "1"),
        ("Press 1 to accept, or 2 to decline.", "1"),
        ("To decline, press 2. To accept, press 1.", "1"),
        ("To accept this call press one. To decline press two.", "1"),
        ("Before we connect your call, press 2 to decline or press one to accept.", "1"),
        ("Press two to decline one to accept", ""),
        ("Press 2 to decline.", ""),
        ("Um den Anruf anzunehmen, drücken Sie die 1, um ihn abzulehnen, die 2.", "1"),
        ("Press 5 or 6.", "5"),
        ("Press the button.", ""),
    ],
)
def test_the_key_that_accepts_the_call_is_wanted_and_never_the_one_that_declines_it(
    words: str, key: str
) -> None:
    assert wanted_key(words) == key
