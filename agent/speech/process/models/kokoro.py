"""Speaks with Kokoro: `kokoro:<folder>#<voice>`.

Its network normalises over the whole utterance, so that it cannot be split as Piper's can: the
first sound comes when the whole clause is made.
"""

import unicodedata
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from agent.speech.kokoro_folder import SAMPLE_RATE, KokoroFolder, espeak_voice
from agent.speech.process.models import Model
from agent.speech.process.sound import COUNTING, Samples, Shape, gain_for, pause_after
from llm_router.errors import ConfigurationError

try:
    from agent.speech.process.networks import open_network
    from agent.speech.process.phonemes import Phonemizer
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        f"Kokoro needs the package {missing.name}: run make setup"
    ) from missing

_MOST_PHONEMES = 100
"""Phonemes of one utterance, about seven seconds of speech: nothing else runs on its thread."""
_RUNS = {
    1: ";:,.!?",
    9: '—…"()“” \u0303ʣʥʦʨᵝꭧAI',
    31: "O",
    33: "Q",
    35: "ST",
    39: "W",
    41: "Yᵊabcdef",
    50: "hijklmnopqrstuvwxyzɑɐɒæ",
    75: "βɔɕç",
    80: "ɖðʤə",
    85: "ɚɛɜ",
    90: "ɟ",
    92: "ɡ",
    99: "ɥ",
    101: "ɨɪʝ",
    110: "ɯɰŋɳɲɴø",
    118: "ɸθœ",
    123: "ɹ",
    125: "ɾɻ",
    128: "ʁɽʂʃʈʧ",
    135: "ʊʋ",
    138: "ʌɣɤ",
    142: "χʎ",
    147: "ʒʔ",
    156: "ˈˌː",
    162: "ʰ",
    164: "ʲ",
    169: "↓",
    171: "→↗↘",
    177: "ᵻ",
}
"""The numbers of phonemes, by the first of each run: config.json of hexgrad/Kokoro-82M."""
NUMBERS = {
    phoneme: first + place for first, run in _RUNS.items() for place, phoneme in enumerate(run)
}


def load(source: str, *, threads: int) -> Model:
    """Loads the model with one voice, and counts to ten with it, which measures its level.

    Raises ConfigurationError if the folder has no model or no such voice.
    """
    path, _, name = source.partition("#")
    folder = KokoroFolder(Path(path))
    model, styles = folder.model(), folder.styles(name)
    try:
        return Kokoro(open_network(str(model), threads=threads), styles, espeak_voice(name))
    except Exception as error:  # onnxruntime's errors have no common class
        raise ConfigurationError(
            f"{model} is no Kokoro model ({type(error).__name__}): download it again"
        ) from error


class Kokoro:
    """Kokoro with one of its voices, its level and its phonemes."""

    sample_rate = SAMPLE_RATE

    def __init__(self, network: Any, styles: Samples, language: str) -> None:
        self._network = network
        self._styles = styles
        self._phonemizer = Phonemizer.of_espeak(language, _MOST_PHONEMES)
        # Files of kokoro-onnx call the phonemes "tokens", newer ones "input_ids".
        names = {one.name for one in network.get_inputs()}
        self._input = "input_ids" if "input_ids" in names else "tokens"
        counted = [self._say(phonemes, 1) for phonemes in self._phonemizer.sentences(COUNTING)]
        self._shape = Shape(SAMPLE_RATE, gain_for(np.concatenate(counted), SAMPLE_RATE))

    def speak(self, text: str, *, speed: float) -> Generator[bytes, None, None]:
        """Yields the sound of the text; of one without words, a pause."""
        for phonemes in self._phonemizer.sentences(text) or [[]]:
            sound = [self._say(phonemes, speed)] if phonemes else []
            yield from self._shape.shape(sound, pause_after("".join(phonemes)) / speed)

    def _say(self, phonemes: list[str], speed: float) -> Samples:
        # Piper's phonemes have their accents apart from their letters; Kokoro's have not.
        whole = unicodedata.normalize("NFC", "".join(phonemes))
        numbers = [NUMBERS[phoneme] for phoneme in whole if phoneme in NUMBERS]
        if not numbers:
            return np.zeros(0, np.float32)
        style = self._styles[min(len(numbers), len(self._styles)) - 1]
        inputs = {
            self._input: np.array([[0, *numbers, 0]], np.int64),
            "style": style[None],
            "speed": np.array([speed], np.float32),
        }
        sound: Samples = self._network.run(None, inputs)[0].reshape(-1)
        return sound
