"""Which words a recording of the agent holds, by the recogniser that also hears the callers."""

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
"""The recogniser is lost on the free speech of espeak-ng, a voice it was never trained on. Told
that it will hear some of these words, however many and in whatever order, it hears them all: of 126
that were tried these are the ones which it took for no other, nor any other for them."""
_ASTRAY = 1e-5
"""How likely a word is another than the next: enough to hear that it is, if it is."""


def words_in(sound: Sequence[caller.Heard]) -> list[str]:
    """The words, in order. Takes a tenth of the time that the sound does."""
    decoder = _decoder()
    grammar = f"#JSGF V1.0; grammar words; public <said> = ({_VOCABULARY})+;"
    decoder.add_jsgf_string("words", grammar)
    return _decoded(decoder, sound)


def words_of(text: str, sound: Sequence[caller.Heard]) -> list[str]:
    """The words where it is known what was to be said: any of the text's may be left out or come
    again, but each is expected after the one before it.
    """
    words, decoder = spoken_words(text), _decoder()
    end = len(words)
    follows = [
        (at, place + 1, 1.0 if place == at else _ASTRAY, word)
        for at in range(end + 1)
        for place, word in enumerate(words)
    ]
    ends = [(at, end, _ASTRAY) for at in range(end)]
    decoder.add_fsg("words", decoder.create_fsg("words", 0, end, [*follows, *ends]))
    return _decoded(decoder, sound)


def _decoder() -> Any:
    return pocketsphinx.Decoder(samprate=RATE, loglevel="FATAL", lm=None, cmninit=FIRST_MEAN)


def _decoded(decoder: Any, sound: Sequence[caller.Heard]) -> list[str]:
    decoder.activate_search("words")
    resampler = rtc.AudioResampler(caller.RATE, RATE)
    raw = bytearray(np.concatenate([heard.samples for heard in sound]).tobytes())
    decoder.start_utt()
    for frame in [*resampler.push(raw), *resampler.flush()]:
        decoder.process_raw(bytes(frame.data))
    decoder.end_utt()
    guess = decoder.hyp()
    return guess.hypstr.split() if guess else []


def spoken_words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def mistakes(heard: Sequence[str], said: Sequence[str]) -> int:
    """Words that are missing, too many, or taken for another."""
    compared = difflib.SequenceMatcher(None, heard, said, autojunk=False)
    return sum(
        max(to - at, said_to - said_at)
        for what, at, to, said_at, said_to in compared.get_opcodes()
        if what != "equal"
    )
