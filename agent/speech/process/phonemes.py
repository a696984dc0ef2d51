"""Turns texts into phonemes with piper-tts, which holds espeak-ng."""

import re
from collections.abc import Iterator

from piper import PiperVoice
from piper.config import PhonemeType, PiperConfig


class Phonemizer:
    """Makes the phonemes of each sentence of a text.

    espeak-ng's state belongs to the process; piper-tts has one lock for it, so that every voice
    must come here.
    """

    def __init__(self, config: PiperConfig, longest: int) -> None:
        """`longest`: phonemes of one utterance; a longer sentence is cut."""
        # A session of its own would hold the network once more: this makes phonemes alone.
        self.voice = PiperVoice(session=None, config=config)
        self._longest = longest

    @classmethod
    def of_espeak(cls, voice: str, longest: int) -> "Phonemizer":
        """Makes the phonemes of one of espeak-ng's voices, such as `en-us`."""
        config = PiperConfig(
            num_symbols=0,
            num_speakers=1,
            sample_rate=0,
            espeak_voice=voice,
            phoneme_id_map={},
            phoneme_type=PhonemeType.ESPEAK,
        )
        return cls(config, longest)

    def sentences(self, text: str) -> list[list[str]]:
        """Returns the phonemes of each sentence with its punctuation; none for a text of signs."""
        readable = text.replace("\0", " ")
        plain = re.sub(r"([][])\1+", r"\1", readable)  # piper takes [[...]] for phonemes
        return [part for sentence in self.voice.phonemize(plain) for part in self._parts(sentence)]

    def _parts(self, phonemes: list[str]) -> Iterator[list[str]]:
        """Cuts what is too long for one utterance, between words where there are any."""
        while len(phonemes) > self._longest:
            spaces = [at for at in range(self._longest) if phonemes[at] == " "]
            cut = spaces[-1] + 1 if spaces else self._longest
            yield phonemes[:cut]
            phonemes = phonemes[cut:]
        yield phonemes
