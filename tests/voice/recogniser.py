"""Recognises the words in a recording of the agent, with the recogniser of the embedded STT.

It is not the one that listens to callers, and with a grammar of the known text it never adds words
of its own, as a recogniser that was trained on sentences does where a word comes twice.
"""

import difflib
import re
from collections.abc import Sequence

import numpy as np
import pocketsphinx  # type: ignore[import-untyped]  # ships no types
from livekit import rtc

from agent.speech.samples import RATE
from agent.stt.embedded.decoder import FIRST_MEAN
from tests.sounds import samples as sounds
from tests.voice import caller

_END = sounds.silence(0.5)
"""Follows each recording: one that breaks off within a word has no words in any grammar."""
_UNEXPECTED = 1e-5
"""Probability of a word other than the next one; enough to recognise such a word if it is there."""


def recognise_words(text: str, sound: Sequence[caller.SoundFrame]) -> list[str]:
    """Returns the words of a known text in what a caller has received."""
    resampler = rtc.AudioResampler(caller.RATE, RATE)
    raw = bytearray(np.concatenate([frame.samples for frame in sound]).tobytes())
    frames = [*resampler.push(raw), *resampler.flush()]
    return recognise_samples(
        text, np.concatenate([np.frombuffer(f.data, np.int16) for f in frames])
    )


def recognise_samples(text: str, samples: sounds.Samples) -> list[str]:
    """Returns the words in a recording of a known text.

    Any word of the text may be missing or repeated, but each is expected after the one before it.
    In place of a word that is not in the text, others of the text are returned, or none. It takes a
    tenth of the recording's duration.
    """
    words = spoken_words(text)
    decoder = pocketsphinx.Decoder(samprate=RATE, loglevel="FATAL", lm=None, cmninit=FIRST_MEAN)
    end = len(words)
    follows = [
        (at, place + 1, 1.0 if place == at else _UNEXPECTED, word)
        for at in range(end + 1)
        for place, word in enumerate(words)
    ]
    ends = [(at, end, _UNEXPECTED) for at in range(end)]
    decoder.add_fsg("words", decoder.create_fsg("words", 0, end, [*follows, *ends]))
    decoder.activate_search("words")
    decoder.start_utt()
    decoder.process_raw(np.concatenate([samples, _END]).tobytes())
    decoder.end_utt()
    guess = decoder.hyp()
    return guess.hypstr.split() if guess else []


def spoken_words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def count_mistakes(recognised: Sequence[str], spoken: Sequence[str]) -> int:
    """Counts the words that are missing, added, or recognised as another."""
    compared = difflib.SequenceMatcher(None, recognised, spoken, autojunk=False)
    return sum(
        max(end - start, spoken_end - spoken_start)
        for kind, start, end, spoken_start, spoken_end in compared.get_opcodes()
        if kind != "equal"
    )
