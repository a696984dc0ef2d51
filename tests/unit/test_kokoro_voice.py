"""Kokoro: which voice is chosen, in the speech process and before it."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest

from agent.speech.kokoro_folder import KokoroFolder
from agent.speech.process.models import Voice, load_model
from agent.speech.process.models.kokoro import NUMBERS
from agent.speech.process.sound import LEVEL, Samples, speech_level
from agent.speech.tts import TTSOptions
from agent.tts import load, speech_model
from llm_router.errors import ConfigurationError
from tests.tiny_kokoro import write_kokoro

VOICES = [
    *("af_heart", "am_adam", "bf_emma", "ef_dora"),
    *("ff_siwis", "if_sara", "jf_alpha", "pf_dora"),
]


@pytest.fixture(params=[True, False], ids=["one file", "a file each"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_kokoro(tmp_path / "kokoro", *VOICES, as_bundle=request.param)


def said(folder: Path, voice: str, text: str, speed: float = 1.0) -> Samples:
    model = cast("Voice", load_model(f"kokoro:{folder}#{voice}", threads=1))
    pcm = b"".join(model.speak(text, speed=speed))
    return np.frombuffer(pcm, np.int16).astype(np.float32) / np.float32(32767)


def test_each_voice_speaks_in_its_own_style_at_the_common_level(folder: Path) -> None:
    heart, adam = (said(folder, voice, "We open at nine.") for voice in ("af_heart", "am_adam"))
    assert not np.array_equal(heart, adam)
    assert [speech_level(sound, 24_000) for sound in (heart, adam)] == pytest.approx(
        [LEVEL, LEVEL], abs=1
    )


@pytest.mark.parametrize("voice", [voice for voice in VOICES if voice != "jf_alpha"])
def test_a_voice_of_each_language_has_phonemes(folder: Path, voice: str) -> None:
    assert np.abs(said(folder, voice, "Hotel")).max() > 0.1


def test_half_the_speed_takes_twice_as_long(folder: Path) -> None:
    text = "We open at nine in the morning,"
    usual, slow = (len(said(folder, "bf_emma", text, speed)) for speed in (1.0, 0.5))
    assert slow == pytest.approx(2 * usual, rel=0.05)


@pytest.mark.parametrize("text", ["", "…", "a\0b", "日本", "word " * 300])
def test_a_text_that_is_hard_to_speak_is_no_error(folder: Path, text: str) -> None:
    assert len(said(folder, "af_heart", text)) > 0


def test_the_numbers_of_phonemes_are_those_of_the_model() -> None:
    assert len(NUMBERS) == 114
    assert [NUMBERS[one] for one in ";$ AfhçæŋɹˈːʲᵻW".replace("$", "")] == [
        *(1, 16, 24, 48, 50, 78, 72, 112, 123, 156, 158, 164, 177, 39)
    ]


@pytest.mark.parametrize(
    ("voice", "language", "chosen"),
    [
        ("", "en", "af_heart"),
        ("", "en-GB", "bf_emma"),
        ("", "es", "ef_dora"),
        ("am_adam", "en", "am_adam"),
    ],
)
def test_a_voice_is_chosen_by_name_or_language(
    folder: Path, voice: str, language: str, chosen: str
) -> None:
    options = TTSOptions(models_folder=folder.parent, voice=voice, language=language)
    assert speech_model("kokoro", options) == f"kokoro:{folder}#{chosen}"
    elsewhere = TTSOptions(model=str(folder), voice=voice, language=language)
    assert load("kokoro", elsewhere, fallback=False).model == f"kokoro {chosen}"


@pytest.mark.parametrize(
    ("voice", "language", "reason"),
    [
        ("af_hart", "en", "TTS_VOICE=af_hart: .* no such voice; it has af_heart, bf_emma, "),
        ("jf_alpha", "ja", "TTS_VOICE=jf_alpha: .* no such voice"),
        ("af_heart", "es", "the voice af_heart speaks 'en-us', and AGENT_LANGUAGE is 'es'"),
        ("", "de", "no Kokoro voice in .* speaks 'de'"),
    ],
)
def test_a_voice_that_cannot_be_used_is_refused_in_one_sentence(
    folder: Path, voice: str, language: str, reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        load("kokoro", TTSOptions(models_folder=folder.parent, voice=voice, language=language))


def test_an_empty_folder_says_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"put kokoro-v1.0.onnx and voices-v1.0.bin"):
        load("kokoro", TTSOptions(models_folder=tmp_path))


def test_damaged_files_are_named(tmp_path: Path) -> None:
    folder = write_kokoro(tmp_path / "kokoro", "af_heart")
    (folder / "kokoro-v1.0.onnx").write_bytes(b"<html>not found</html>")
    with pytest.raises(ConfigurationError, match=r"kokoro-v1.0.onnx is no Kokoro model .*again"):
        load_model(f"kokoro:{folder}#af_heart", threads=1)
    (folder / "voices" / "af_heart.bin").write_bytes(b"1234")
    with pytest.raises(ConfigurationError, match=r"af_heart.bin is no Kokoro voice"):
        KokoroFolder(folder).styles("af_heart")
    (folder / "voices-v1.0.bin").write_bytes(b"<html>not found</html>")
    with pytest.raises(ConfigurationError, match=r"voices-v1.0.bin holds no Kokoro voices"):
        KokoroFolder(folder).voices()
