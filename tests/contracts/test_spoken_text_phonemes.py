"""Tests that espeak-ng reads changed texts as people say them: by the phonemes it makes of both."""

import ctypes

import pytest

from agent.speech.spoken_text import spoken_text
from agent.speech.tts import TTSOptions
from agent.tts.embedded import create

_UTF8 = 1
_IPA = 2


def phonemes(text: str, language: str) -> str:
    """Returns how espeak-ng reads the text, clause by clause, without stress."""
    engine = create(TTSOptions(language=language))
    library = engine.espeak._library
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p

    def read() -> str:
        engine.espeak.choose(engine.voice)
        rest = ctypes.c_char_p(text.encode())
        clauses: list[str] = []
        while rest.value:
            clauses.append(library.espeak_TextToPhonemes(ctypes.byref(rest), _UTF8, _IPA).decode())
        return "".join(letter for letter in "|".join(clauses) if letter not in "ˈˌ ːʔ")

    return engine.espeak.thread.submit(read).result()


@pytest.mark.parametrize(
    ("language", "written", "words"),
    [
        ("en", "$12.50", "twelve dollars and fifty cents"),
        ("en", "$1.5M", "one point five million dollars"),
        ("en", "at 9:00", "at nine o'clock"),
        ("en", "9:00 am", "nine AM"),
        ("en", "17:30", "five thirty PM"),
        ("en", "3-5 days", "three to five days"),
        ("en", "Mon-Fri", "Monday to Friday"),
        ("en", "2026-11-29", "November twenty ninth, two thousand twenty six"),
        ("en", "555-0134", "five five five, zero one three four"),
        ("de", "info@shop.example", "info ät shop Punkt example"),
        ("en", "Dr. Smith", "Doctor Smith"),
        ("en", "No. 5", "number five"),
        ("en", "20°C", "twenty degrees Celsius"),
        ("en", "AB-1234", "A-B, one two three four"),
        ("de", "12,50 €", "zwölf Euro und fünfzig Cent"),
        ("de", "um 17:00 Uhr", "um siebzehn Uhr"),
        ("de", "3-5 Tage", "drei bis fünf Tage"),
        ("fr", "17h", "dix-sept heures"),
        ("fr", "-5", "moins cinq"),
        ("es", "lun-vie", "lunes a viernes"),
        ("it", "alle 17:00", "alle diciassette"),
        ("pt", "seg-sex", "segunda a sexta"),
        ("nl", "17:00", "zeventien uur"),
    ],
)
def test_a_written_form_sounds_like_the_words_people_say(
    language: str, written: str, words: str
) -> None:
    assert phonemes(spoken_text(written, language), language) == phonemes(words, language)
    assert phonemes(written, language) != phonemes(words, language), "it needs no change"
