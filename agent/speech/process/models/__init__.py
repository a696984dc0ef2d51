"""Loads speech models; each module here is a kind of model, found by its name.

A model is named `<kind>:<source>`, such as `whisper:/models/whisper-tiny.en`: the source is what
the kind's `load` takes, mostly a path. Models are synchronous, and run in the threads of the speech
process. Several threads may use one model at once.
"""

from collections.abc import Collection, Generator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from llm_router.errors import ConfigurationError
from llm_router.plugins import Plugins

RATE = 16_000
"""Samples a second of the audio that a recogniser takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word that was recognised; its times are seconds from the first sample."""

    text: str
    start: float
    end: float
    probability: float

    @property
    def plain(self) -> str:
        """Its letters and digits, in lower case."""
        return "".join(filter(str.isalnum, self.text.lower()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """The words in some audio. Every field can be written as JSON."""

    words: tuple[Word, ...]
    no_speech: float = 0.0
    """Probability that it holds no speech."""
    average_log_probability: float = 0.0
    """Mean over the tokens."""
    language: str = ""
    """The language of the words, where one was to be chosen and it is clear."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Decoded":
        """Raises TypeError or KeyError if the data was not made by `as_json`."""
        return cls(**{**data, "words": tuple(Word(**word) for word in data["words"])})


class Recogniser(Protocol):
    def decode(
        self,
        samples: NDArray[np.int16],
        *,
        language: str,
        before: str,
        among: Collection[str] = (),
    ) -> Decoded:
        """Decodes up to 30 s of mono audio at 16 kHz.

        `language`: a tag such as `en`. `before`: the words that come before the audio. `among`:
        languages of which the audio's is chosen, `language` where that is not clear; empty: there
        is no choice. Raises ConfigurationError, without the caller's words, if the model cannot do
        it.
        """


class Voice(Protocol):
    @property
    def sample_rate(self) -> int:
        """Samples a second of what it speaks (Hz)."""

    def speak(self, text: str, *, speed: float) -> Generator[bytes, None, None]:
        """Yields mono 16-bit samples, a piece at a time; does no work before the first is asked
        for.

        Other requests run between two pieces, so that each should take little time, the first one
        least. Closing the generator stops the work. `speed`: 1 is the voice's own.
        """


Model = Recogniser | Voice


class LoadModel(Protocol):
    """The type of each kind's `load`. It takes as long as loading does.

    `threads`: how many threads the model may use for one request. Raises ConfigurationError, with
    the reason in one sentence, if the model cannot be loaded.
    """

    def __call__(self, source: str, *, threads: int) -> Model: ...


KINDS: Plugins[LoadModel] = Plugins(
    "agent.speech.process.models", "kind of speech model", attribute="load"
)


def load_model(name: str, *, threads: int) -> Model:
    """Loads a model named `<kind>:<source>`.

    Raises ConfigurationError, or UnknownPluginError, which lists the kinds.
    """
    kind, colon, source = name.partition(":")
    if not colon:
        raise ConfigurationError(f"speech model {name!r} must look like <kind>:<source>")
    return KINDS.load(kind)(source, threads=threads)
