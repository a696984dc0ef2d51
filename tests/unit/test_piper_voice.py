"""A Piper voice in the speech process: split, speakers, speed, and texts that are hard to speak."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # ships no types
import pytest

from agent.speech.process.models import Voice, load_model
from agent.speech.process.sound import LEVEL, Samples, speech_level
from agent.speech.process.vits import Plan, decode_in_pieces, split
from llm_router.errors import ConfigurationError
from tests.tiny_voice import HOP, RATE, network, write_voice

TEXT = "We open at nine in the morning."


def load(path: Path, speaker: str = "") -> Voice:
    voice = load_model(f"piper:{path}#{speaker}" if speaker else f"piper:{path}", threads=1)
    return cast("Voice", voice)


def said(voice: Voice, text: str, speed: float = 1.0) -> Samples:
    pcm = b"".join(voice.speak(text, speed=speed))
    return np.frombuffer(pcm, np.int16).astype(np.float32) / np.float32(32767)


def seconds(voice: Voice, text: str, speed: float = 1.0) -> float:
    return len(said(voice, text, speed)) / voice.sample_rate


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_voice(tmp_path)


@pytest.mark.parametrize("speakers", [0, 3])
def test_both_halves_of_a_network_together_are_the_network(speakers: int) -> None:
    halves = split(network(speakers))
    assert halves
    whole, encoder, decoder = (
        onnxruntime.InferenceSession(one, providers=["CPUExecutionProvider"])
        for one in (network(speakers).SerializeToString(), *halves)
    )
    speaker = {"sid": np.array([2], np.int64)} if speakers else {}
    asked = {
        "input": np.arange(1, 60, dtype=np.int64)[None],
        "input_lengths": np.array([59], np.int64),
        "scales": np.ones(3, np.float32),
        **speaker,
    }
    expected = whole.run(None, asked)[0].reshape(-1)
    plan = encoder.run(None, asked)[0]
    first = decoder.get_inputs()[0].name

    def decode(part: Plan) -> Samples:
        sound: Samples = decoder.run(None, {first: part, **speaker})[0].reshape(-1)
        return sound

    pieces = [*decode_in_pieces(plan, decode)]
    assert np.abs(np.concatenate(pieces) - expected).max() < 1e-5
    assert len(pieces[0]) == 16 * HOP
    assert all(len(piece) <= 64 * HOP for piece in pieces)
    assert all(b <= 2 * a for a, b in pairwise(map(len, pieces)))


def test_a_network_that_cannot_be_split_is_spoken_whole(tmp_path: Path) -> None:
    assert split(network(can_be_split=False)) is None
    voice = load(write_voice(tmp_path, can_be_split=False))
    assert len([*voice.speak(TEXT, speed=1)]) == 2  # the sound, and the pause
    assert seconds(voice, TEXT) > 1


def test_a_piece_is_made_only_when_it_is_asked_for() -> None:
    asked: list[int] = []

    def decode(part: Plan) -> Samples:
        asked.append(part.shape[2])
        return np.zeros(part.shape[2], np.float32)

    pieces: Iterator[Samples] = decode_in_pieces(np.zeros((1, 2, 500), np.float32), decode)
    next(pieces)
    assert asked == [16 + 14]


def test_each_voice_speaks_at_the_common_level(path: Path) -> None:
    assert speech_level(said(load(path), TEXT), RATE) == pytest.approx(LEVEL, abs=1.5)


def test_half_the_speed_takes_twice_as_long(path: Path) -> None:
    voice = load(path)
    usual = seconds(voice, TEXT)
    assert seconds(voice, TEXT, 0.5) == pytest.approx(2 * usual, rel=0.05)
    assert seconds(voice, TEXT, 2.0) == pytest.approx(usual / 2, rel=0.05)


def test_speakers_are_chosen_by_name_or_number(tmp_path: Path) -> None:
    path = write_voice(tmp_path, speakers=["ann", "bob"])
    first, ann, bob, number = (load(path, one) for one in ("", "ann", "bob", "1"))
    sounds = [said(voice, TEXT) for voice in (first, ann, bob, number)]
    assert np.array_equal(sounds[0], sounds[1])
    assert np.array_equal(sounds[2], sounds[3])
    assert not np.array_equal(sounds[1], sounds[2])


@pytest.mark.parametrize(
    "text", ["", "…", "?!", "a\0b", "[[x", "[[x]] y", "日本", "<speak>one</speak>"]
)
def test_a_text_that_is_hard_to_speak_is_no_error(path: Path, text: str) -> None:
    assert seconds(load(path), text) > 0


def test_a_text_in_brackets_is_read_and_not_taken_for_phonemes(path: Path) -> None:
    voice = load(path)
    read = said(voice, "[hello] you")
    for text in ("[[hello]] you", "[[[[hello]]]] you", "[[[hello]]] you"):
        assert np.array_equal(said(voice, text), read)


@pytest.mark.parametrize("text", ["hello " * 300, "x" * 2000])
def test_a_text_without_an_end_is_spoken_in_parts(path: Path, text: str) -> None:
    longest = max(map(len, load(path).speak(text, speed=1)))
    assert longest / 2 / RATE < 1


def test_clauses_spoken_one_by_one_have_a_shorter_pause_than_sentences(path: Path) -> None:
    voice = load(path)
    clause, sentence = said(voice, "We open,"), said(voice, "We open.")
    pauses = [len(one) - np.flatnonzero(one)[-1] for one in (clause, sentence)]
    assert [pause / RATE for pause in pauses] == pytest.approx([0.15, 0.35], abs=0.01)


def test_a_file_that_is_no_voice_is_refused(path: Path) -> None:
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(ConfigurationError, match=r"tiny-low.onnx is no Piper voice .*again"):
        load(path)


def test_a_voice_without_its_description_is_refused(path: Path) -> None:
    Path(f"{path}.json").unlink()
    with pytest.raises(ConfigurationError, match=r"needs en_GB-tiny-low.onnx.json beside it"):
        load(path)
