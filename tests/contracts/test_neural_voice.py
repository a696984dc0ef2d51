"""The neural voice that set-up fetches, as the speech process speaks with it."""

import os
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]  # ships no types
import pytest

from agent.speech.models import default_folder, find_voice
from agent.speech.process.models import Voice, load_model
from agent.speech.process.sound import LEVEL, Samples, speech_level
from agent.speech.process.vits import Plan, decode_in_pieces, split
from llm_router.errors import ConfigurationError

TEXTS = [
    "Sure, I can help with that.",
    "We open at nine in the morning on Saturday.",
    "Thank you for calling! How may I help you today?",
    "I am sorry, we are closed on Sundays.",
    "You can come at any time, and you need no appointment.",
]


@cache
def voice() -> Voice:
    return cast("Voice", load_model(f"piper:{path()}", threads=1))


def path() -> Path:
    folder = Path(os.environ.get("MODELS_FOLDER") or default_folder())
    try:
        return find_voice("", "en", folder)
    except ConfigurationError as absent:
        pytest.skip(str(absent))


def said(text: str, speed: float = 1.0) -> Samples:
    pcm = b"".join(voice().speak(text, speed=speed))
    return np.frombuffer(pcm, np.int16).astype(np.float32) / np.float32(32_768)


def test_the_sound_made_in_pieces_is_the_sound_made_whole() -> None:
    """Decodes one plan both ways: each plan is random in itself."""
    halves = split(onnx.load(path()))
    assert halves
    decoder = onnxruntime.InferenceSession(halves[1], providers=["CPUExecutionProvider"])
    wanted = decoder.get_inputs()[0]
    random = np.random.default_rng(7)
    plan = random.normal(size=(1, 192, 400)).astype(np.float32)

    def decode(part: Plan) -> Samples:
        sound: Samples = decoder.run(None, {wanted.name: part})[0].reshape(-1)
        return sound

    whole, pieces = decode(plan), np.concatenate([*decode_in_pieces(plan, decode)])
    assert np.abs(whole).max() > 0.1
    assert np.abs(pieces - whole).max() < 1e-4


def test_the_voice_is_at_the_common_level_and_its_sentences_near_it() -> None:
    sounds = [said(text) for text in TEXTS]
    levels = [speech_level(sound, voice().sample_rate) for sound in sounds]
    assert np.mean(levels) == pytest.approx(LEVEL, abs=1.5)
    assert levels == pytest.approx([LEVEL] * len(levels), abs=3.5)
    assert max(np.abs(sound).max() for sound in sounds) < 0.99


def test_pieces_are_short_and_the_first_is_shortest() -> None:
    pieces = [len(piece) / 2 / voice().sample_rate for piece in voice().speak(TEXTS[4], speed=1)]
    assert pieces[0] < 0.25
    assert max(pieces) < 1.0


def test_half_the_speed_takes_about_twice_as_long() -> None:
    slow, usual = len(said(TEXTS[1], 0.5)), len(said(TEXTS[1]))
    assert 1.6 < slow / usual < 2.4
