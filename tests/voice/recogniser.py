"""Recognises the words in a recording of the agent, with the recogniser of the embedded STT."""

import difflib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pocketsphinx  # type: ignore[import-untyped]  # ships no types
from livekit import rtc

from agent.stt.embedded.decoder import FIRST_MEAN, RATE
from tests.voice import caller

_VOCABULARY = """
    afternoon | again | airport | answer | appointment | basket | bring | brother | business
    | chocolate | church | computer | eleven | evening | february | football | forest |
    friday | garden | history | hospital | hundred | january | library | manager | monkey |
    morning | music | orange | parking | passport | pencil | potato | public | purple |
    question | rabbit | river | saturday | sharp | shopping | street | telephone | thousand
    | tomorrow | warm | water | wednesday | whenever | winter | yesterday
"""
"""The words to recognise. The recogniser was never trained on espeak-ng's voice and cannot follow
its free speech. With a grammar of these words, in any number and order, it recognises them all: of
126 words tried, these were never confused with another."""
_UNEXPECTED = 1e-5
"""Probability of a word other than the next one; enough to recognise such a word if it is there."""


def recognise_words(sound: Sequence[caller.SoundFrame]) -> list[str]:
    """Returns the words of the vocabulary in a recording, in order.

    It takes a tenth of the recording's duration.
    """
    decoder = _decoder()
    grammar = f"#JSGF V1.0; grammar words; public <said> = ({_VOCABULARY})+;"
    decoder.add_jsgf_string("words", grammar)
    return _decoded(decoder, sound)


def recognise_known_words(text: str, sound: Sequence[caller.SoundFrame]) -> list[str]:
    """Returns the words in a recording of a known text.

    Any word of the text may be missing or repeated, but each is expected after the one before it.
    """
    words, decoder = spoken_words(text), _decoder()
    end = len(words)
    follows = [
        (at, place + 1, 1.0 if place == at else _UNEXPECTED, word)
        for at in range(end + 1)
        for place, word in enumerate(words)
    ]
    ends = [(at, end, _UNEXPECTED) for at in range(end)]
    decoder.add_fsg("words", decoder.create_fsg("words", 0, end, [*follows, *ends]))
    return _decoded(decoder, sound)


def _decoder() -> Any:
    return pocketsphinx.Decoder(samprate=RATE, loglevel="FATAL", lm=None, cmninit=FIRST_MEAN)


def _decoded(decoder: Any, sound: Sequence[caller.SoundFrame]) -> list[str]:
    decoder.activate_search("words")
    resampler = rtc.AudioResampler(caller.RATE, RATE)
    raw = bytearray(np.concatenate([frame.samples for frame in sound]).tobytes())
    decoder.start_utt()
    for frame in [*resampler.push(raw), *resampler.flush()]:
        decoder.process_raw(bytes(frame.data))
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
