"""The ways on which the sound of a caller comes, by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from bench.hearing.speakers import Clip
from tests.sounds.channels import add_noise, babble, coloured_noise, opus, telephone
from tests.sounds.samples import RATE, Samples, level, silence

CLEAN = "clean"
TELEPHONE = "telephone, μ-law"
BEFORE, AFTER = 0.5, 1.3
"""Seconds before and after the speech, in which the channel alone is audible."""
_VOICES = 4
"""Other speakers in a babble."""

Channel = Callable[[Samples, Samples], Samples]
"""Returns speech as it arrives; the second argument is the babble of others."""
CHANNELS: Mapping[str, Channel] = MappingProxyType(
    {
        CLEAN: lambda speech, _: speech,
        "browser, Opus 20 kbit/s": lambda speech, _: opus(speech),
        TELEPHONE: lambda speech, _: telephone(speech),
        "telephone, A-law": lambda speech, _: telephone(speech, "a"),
        "pink noise 15 dB": lambda speech, _: add_noise(speech, coloured_noise(7, 1.0), 15),
        "pink noise 5 dB": lambda speech, _: add_noise(speech, coloured_noise(7, 1.0), 5),
        "voices 15 dB": lambda speech, others: add_noise(speech, others, 15),
        "voices 5 dB": lambda speech, others: add_noise(speech, others, 5),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A clip as it arrives. `ends`: seconds from the start until the last sound of the speech."""

    speaker: str
    channel: str
    text: str
    samples: Samples
    ends: float

    @property
    def seconds(self) -> float:
        """The length of the speech, without the silence around it."""
        return self.ends - BEFORE


def trim(samples: Samples) -> Samples:
    """Cuts off the silence before and after the speech: all that is 35 dB below its level."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > level(samples) / 56)
    return samples[loud[0] : loud[-1] + 1]


def arrivals(
    clips: Sequence[Clip], channels: Sequence[str], background: Sequence[Clip]
) -> list[Arrival]:
    """Passes every clip through every channel. `background`: clips of people who talk behind."""
    made = []
    for clip in clips:
        speech = trim(clip.samples)
        others = [one.samples for one in background if one.text != clip.text]
        padded = np.concatenate([silence(BEFORE), speech, silence(AFTER)])
        voices = babble(others[:_VOICES])
        made += [
            Arrival(
                speaker=clip.speaker,
                channel=name,
                text=clip.text,
                samples=CHANNELS[name](padded, voices),
                ends=BEFORE + len(speech) / RATE,
            )
            for name in channels
        ]
    return made
