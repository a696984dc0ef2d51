"""Speaks with a Piper voice: `piper:<path of its .onnx>`, with `#<speaker>` where it has several.

Its first sound is ready before a long text is (`process.vits`). The phonemes are those of
piper-tts, which holds espeak-ng.
"""

from collections.abc import Generator, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from agent.speech.process.models import Model
from agent.speech.process.sound import COUNTING, Samples, Shape, gain_for, pause_after
from agent.speech.voice_file import VoiceFile
from llm_router.errors import ConfigurationError

try:
    import onnx
    from piper.config import PiperConfig

    from agent.speech.process.networks import open_network
    from agent.speech.process.phonemes import Phonemizer
    from agent.speech.process.vits import Plan, decode_in_pieces, split
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        f"Piper voices need the package {missing.name}: run make setup"
    ) from missing

_MOST_PHONEMES = 400
"""Phonemes of one utterance: the encoder's work and memory grow with their square."""


def load(source: str, *, threads: int) -> Model:  # noqa: ARG001  one is as fast as two
    """Loads a voice, and counts to ten with it, which measures its level and warms it up.

    Raises ConfigurationError if it is no Piper voice or has no such speaker.
    """
    path, _, speaker = source.partition("#")
    file = VoiceFile.read(Path(path))
    speaker_number = file.number_of(speaker)
    try:
        config = PiperConfig.from_dict(file.content)
        return Piper(_Network(onnx.load(path), config, speaker_number), config)
    except Exception as error:  # onnx, onnxruntime and protobuf have no common error
        raise ConfigurationError(
            f"{path} is no Piper voice ({type(error).__name__}): download it again"
        ) from error


class _Network:
    """Runs the network: in two halves, or whole where it cannot be split."""

    def __init__(self, network: onnx.ModelProto, config: PiperConfig, speaker: int | None) -> None:
        self._speaker = {} if speaker is None else {"sid": np.array([speaker], np.int64)}
        self._scales = config.noise_scale, config.length_scale, config.noise_w_scale
        halves = split(network)
        encoder, decoder = halves or (network.SerializeToString(), None)
        self._encoder = open_network(encoder, threads=1)
        self._decoder: Any = open_network(decoder, threads=1) if decoder else None

    def speak(self, phonemes: list[int], speed: float) -> Iterator[Samples]:
        """Yields the sound of phonemes, given by their numbers."""
        noise, length, width_noise = self._scales
        inputs = {
            "input": np.array([phonemes], np.int64),
            "input_lengths": np.array([len(phonemes)], np.int64),
            "scales": np.array([noise, length / speed, width_noise], np.float32),
            **self._speaker,
        }
        made = self._encoder.run(None, inputs)[0]
        if self._decoder:
            yield from decode_in_pieces(made, self._decode)
        else:
            yield made.reshape(-1)

    def _decode(self, plan: Plan) -> Samples:
        """Makes sound of a plan. The decoder's inputs are the plan, then the speaker if needed."""
        first, *others = (one.name for one in self._decoder.get_inputs())
        speaker = {name: self._speaker[name] for name in others}
        sound: Samples = self._decoder.run(None, {first: plan, **speaker})[0].reshape(-1)
        return sound


class Piper:
    """A Piper voice with its level and its phonemes."""

    def __init__(self, network: _Network, config: PiperConfig) -> None:
        self.sample_rate = config.sample_rate
        self._network = network
        self._phonemizer = Phonemizer(config, _MOST_PHONEMES)
        self._shape = Shape(self.sample_rate, gain_for(self._count(), self.sample_rate))

    def speak(self, text: str, *, speed: float) -> Generator[bytes, None, None]:
        """Yields the sound of the text; of one without words, a pause."""
        for phonemes in self._phonemizer.sentences(text) or [[]]:
            sound = self._say(phonemes, speed) if phonemes else ()
            yield from self._shape.shape(sound, pause_after("".join(phonemes)) / speed)

    def _say(self, phonemes: list[str], speed: float) -> Iterator[Samples]:
        return self._network.speak(self._phonemizer.voice.phonemes_to_ids(phonemes), speed)

    def _count(self) -> Samples:
        spoken = [self._say(phonemes, 1) for phonemes in self._phonemizer.sentences(COUNTING)]
        return np.concatenate([np.zeros(0, np.float32), *chain.from_iterable(spoken)])
