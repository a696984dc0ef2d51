"""Imitates speech models in tests: it hears the words of its script, and speaks in tones."""

from collections.abc import Collection, Generator

import numpy as np
from numpy.typing import NDArray

from agent.speech.process.models import RATE, Decoded, Model, Word
from llm_router.errors import ConfigurationError

SECONDS_PER_WORD = 0.5
VOICE_RATE = 16_000
_PIECE = 0.1
"""Seconds of a piece of sound."""


def load(source: str, *, threads: int) -> Model:  # noqa: ARG001  it computes nothing
    """Makes a voice of the source `voice`, and a recogniser of `hears <words>`.

    Raises ConfigurationError for any other source.
    """
    word, _, rest = source.partition(" ")
    match word:
        case "voice":
            return ScriptedVoice()
        case "hears":
            return ScriptedRecogniser(rest)
    raise ConfigurationError(f"scripted speech model {source!r} is neither 'voice' nor 'hears ...'")


class ScriptedRecogniser:
    """Hears one word of the script in each half second, whatever the audio; `before` counts too."""

    def __init__(self, script: str) -> None:
        self._script = script.split()

    def decode(
        self,
        samples: NDArray[np.int16],
        *,
        language: str,  # noqa: ARG002  the script is in one
        before: str,
        among: Collection[str] = (),  # noqa: ARG002
    ) -> Decoded:
        count = int(len(samples) / RATE / SECONDS_PER_WORD)
        said = len(before.split())
        words = tuple(
            Word(
                text=text,
                start=number * SECONDS_PER_WORD,
                end=(number + 1) * SECONDS_PER_WORD,
                probability=1.0,
            )
            for number, text in enumerate(self._script[said : said + count])
        )
        return Decoded(words=words, no_speech=0.0 if words else 1.0)


class ScriptedVoice:
    """Speaks each word as a tone of a tenth of a second."""

    sample_rate = VOICE_RATE

    def speak(self, text: str, *, speed: float) -> Generator[bytes, None, None]:
        samples = int(_PIECE / speed * VOICE_RATE)
        tone = np.sin(np.arange(samples) * (2 * np.pi * 440 / VOICE_RATE)) * 8_000
        for _ in text.split():
            yield tone.astype(np.int16).tobytes()
