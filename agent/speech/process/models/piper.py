"""Speaks with a Piper voice: `piper:<path of its .onnx>`, with `#<speaker>` where it has several.

Its first sound is ready before a long text is (`process.vits`). The phonemes are those of
piper-tts, which holds espeak-ng.
"""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from agent.speech.process.models import Model
from agent.speech.process.sound import Samples, Shape, gain_for, pause_after
from agent.speech.voice_file import VoiceFile
from llm_router.errors import ConfigurationError

try:
    import onnx
    import onnxruntime  # type: ignore[import-untyped]  # ships no types
    from piper import PiperVoice
    from piper.config import PiperConfig

    from agent.speech.process.vits import Plan, decode_in_pieces, split
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        f"Piper voices need the package {missing.name}: run make setup"
    ) from missing

_COUNTING = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10."
"""A text of every language, by which the level of a voice is measured."""
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
        self._encoder = _session(encoder)
        self._decoder: Any = _session(decoder) if decoder else None

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


def _session(network: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])


class Piper:
    """A Piper voice with its level and its phonemes."""

    def __init__(self, network: _Network, config: PiperConfig) -> None:
        self.sample_rate = config.sample_rate
        self._network = network
        # A session of its own would hold the network once more: this makes phonemes alone.
        self._phonemes = PiperVoice(session=None, config=config)
        spoken = [
            piece
            for sentence in self._sentences(_COUNTING)
            for piece in network.speak(self._phonemes.phonemes_to_ids(sentence), speed=1)
        ]
        sound = np.concatenate(spoken) if spoken else np.zeros(0, np.float32)
        self._shape = Shape(self.sample_rate, gain_for(sound, self.sample_rate))

    def speak(self, text: str, *, speed: float) -> Generator[bytes, None, None]:
        """Yields the sound of the text; of one without words, a pause."""
        for phonemes in self._sentences(text) or [[]]:
            numbers = self._phonemes.phonemes_to_ids(phonemes)
            sound = self._network.speak(numbers, speed) if phonemes else ()
            yield from self._shape.shape(sound, pause_after("".join(phonemes)) / speed)

    def _sentences(self, text: str) -> list[list[str]]:
        """Returns the phonemes of each sentence, with its punctuation."""
        readable = text.encode("utf-8", "ignore").decode().replace("\0", " ")
        plain = readable.replace("[[", "[").replace("]]", "]")  # piper takes [[...]] for phonemes
        return [part for sentence in self._phonemes.phonemize(plain) for part in _parts(sentence)]


def _parts(phonemes: list[str]) -> Iterator[list[str]]:
    """Cuts what is too long for one utterance, between words where there are any."""
    while len(phonemes) > _MOST_PHONEMES:
        spaces = [at for at in range(_MOST_PHONEMES) if phonemes[at] == " "]
        cut = spaces[-1] + 1 if spaces else _MOST_PHONEMES
        yield phonemes[:cut]
        phonemes = phonemes[cut:]
    yield phonemes
