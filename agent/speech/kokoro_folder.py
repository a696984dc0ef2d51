"""Finds the Kokoro model and its voices on this machine."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.speech.models import language_family
from llm_router.errors import ConfigurationError

SAMPLE_RATE = 24_000
_LANGUAGES = {
    "a": ("en-us", "en-us"),
    "b": ("en-gb", "en-gb-x-rp"),
    "e": ("es", "es"),
    "f": ("fr", "fr"),
    "i": ("it", "it"),
    "p": ("pt-br", "pt-br"),
}
"""By the first letter of a voice: the tag of its language, and espeak-ng's voice for its phonemes.
Hindi, Japanese and Chinese, which Kokoro speaks as well, need phonemes that espeak-ng lacks."""
_BEST = "af_heart", "bf_emma", "ef_dora", "ff_siwis", "if_sara", "pf_dora"
"""The voice to take first for each of them."""
_STYLE = 256
"""Numbers of a style. A voice is a table with a style for each number of phonemes."""


@dataclass(frozen=True, slots=True)
class KokoroFolder:
    """A folder with a Kokoro model (`*.onnx`) and voices.

    The voices are all in `voices-v1.0.bin`, as kokoro-onnx has them, or a file each,
    `voices/<name>.bin`, as in kokoro-js.
    """

    path: Path

    def model(self) -> Path:
        """Returns the model. Raises ConfigurationError if there is none."""
        models = sorted(self.path.glob("*.onnx"))
        if not models:
            raise ConfigurationError(
                f"no Kokoro model is in {self.path}: put kokoro-v1.0.onnx and voices-v1.0.bin"
                " there, as docs/speech.md shows"
            )
        return models[0]

    def voices(self) -> list[str]:
        """Lists the voices whose language can be spoken, the best of each language first."""
        names = {file.stem for file in self.path.glob("voices/*.bin")}
        for bundle in self._bundles():
            with _opened(bundle) as arrays:
                names.update(arrays.files)
        known = [name for name in names if name[:1] in _LANGUAGES]
        return sorted(known, key=lambda name: (name not in _BEST, name))

    def choose(self, voice: str, language: str) -> str:
        """Returns the named voice, or the best for the language.

        Raises ConfigurationError if there is none, or if it speaks another language.
        """
        voices = self.voices()
        if voice and voice not in voices:
            has = ", ".join(voices[:20]) or "none"
            raise ConfigurationError(
                f"TTS_VOICE={voice}: {self.path} has no such voice; it has {has}"
            )
        spoken = language.replace("_", "-").lower()
        family = language_family(language)
        fitting = [name for name in voices if language_family(_language(name)) == family]
        if voice and voice not in fitting:
            raise ConfigurationError(
                f"the voice {voice} speaks {_language(voice)!r}, and AGENT_LANGUAGE is"
                f" {language!r}: leave TTS_VOICE empty for one of that language"
            )
        if not fitting:
            raise ConfigurationError(
                f"no Kokoro voice in {self.path} speaks {language!r}; put one into its folder"
                " voices, or choose another TTS_ENGINE"
            )
        exact = [name for name in fitting if _language(name) == spoken]
        return voice or (exact or fitting)[0]

    def styles(self, voice: str) -> NDArray[np.float32]:
        """Returns the style for each number of phonemes.

        Raises ConfigurationError if there is no such voice, or if its file is damaged.
        """
        file = self.path / "voices" / f"{voice}.bin"
        if file.is_file():
            numbers = np.fromfile(file, np.float32)
            if not len(numbers) or len(numbers) % _STYLE:
                raise ConfigurationError(f"{file} is no Kokoro voice: download it again")
            return numbers.reshape(-1, _STYLE)
        for bundle in self._bundles():
            with _opened(bundle) as arrays:
                if voice in arrays.files:
                    styles: NDArray[np.float32] = arrays[voice].astype(np.float32)
                    return styles.reshape(-1, _STYLE)
        raise ConfigurationError(f"{self.path} has no voice {voice}; see docs/speech.md#kokoro")

    def _bundles(self) -> list[Path]:
        return sorted(self.path.glob("voices*.bin"))


def _opened(bundle: Path) -> Any:
    try:
        return np.load(bundle)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"{bundle} holds no Kokoro voices: download it again") from error


def espeak_voice(voice: str) -> str:
    """Returns espeak-ng's voice for the phonemes of a Kokoro voice."""
    return _LANGUAGES[voice[0]][1]


def _language(voice: str) -> str:
    return _LANGUAGES[voice[0]][0]
