"""The sound of a voice: level, pauses, no clicks, and pieces that join without a seam."""

from collections.abc import Iterator

import numpy as np
import pytest

from agent.speech.process.sound import (
    LEVEL,
    Samples,
    Shape,
    gain_for,
    limit,
    pause_after,
    speech_level,
)

RATE = 16_000


def tone(seconds: float, size: float = 0.3) -> Samples:
    time = np.arange(int(seconds * RATE)) / RATE
    return (size * np.sin(2 * np.pi * 200 * time)).astype(np.float32)


def silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * RATE), np.float32)


def shaped(*pieces: Samples, pause: float = 0.0, gain: float = 1.0) -> Samples:
    pcm = b"".join(Shape(RATE, gain).shape(pieces, pause))
    return np.frombuffer(pcm, np.int16).astype(np.float32) / np.float32(32767)


@pytest.mark.parametrize("size", [0.01, 0.1, 0.9])
def test_every_voice_is_brought_to_one_level(size: float) -> None:
    spoken = np.concatenate((tone(1, size), silence(1), tone(1, size)))
    assert speech_level(spoken * gain_for(spoken, RATE), RATE) == pytest.approx(LEVEL, abs=0.1)


@pytest.mark.parametrize("nothing", [silence(1), silence(0)])
def test_silence_is_not_made_louder(nothing: Samples) -> None:
    assert gain_for(nothing, RATE) == 1.0


def test_a_pause_counts_for_nothing_in_the_level() -> None:
    spoken = tone(1)
    with_pause = np.concatenate((spoken, silence(3)))
    assert speech_level(with_pause, RATE) == pytest.approx(speech_level(spoken, RATE), abs=0.1)


def test_peaks_are_rounded_off_and_the_rest_is_untouched() -> None:
    loud = limit(tone(0.1, 3.0))
    assert np.abs(loud).max() < 0.981
    quiet = tone(0.1, 0.6)
    assert np.array_equal(limit(quiet), quiet)


@pytest.mark.parametrize(
    ("text", "pause"), [("so,", 0.15), ("so, ", 0.15), ("是，", 0.15), ("so.", 0.35), ("so", 0.35)]
)
def test_a_pause_fits_the_punctuation(text: str, pause: float) -> None:
    assert pause_after(text) == pause


def test_silence_at_the_ends_becomes_the_pause_and_silence_inside_stays() -> None:
    inside = np.concatenate((tone(0.3), silence(0.4), tone(0.3)))
    sound = shaped(silence(0.5), inside, silence(0.7), pause=0.2)
    assert len(sound) / RATE == pytest.approx(len(inside) / RATE + 0.01 + 0.04 + 0.2, abs=0.01)


def test_what_is_said_begins_and_ends_without_a_click() -> None:
    sound = shaped(tone(0.5)[15:-20], pause=0.1)  # begins and ends away from zero
    steepest = np.abs(np.diff(tone(0.5))).max()
    assert np.abs(np.diff(sound)).max() < 1.05 * steepest
    assert sound[0] == 0


def test_pieces_are_joined_without_a_seam() -> None:
    whole = tone(1.0)
    in_pieces = shaped(*np.array_split(whole, 7))
    assert np.abs(in_pieces - shaped(whole)).max() < 1e-4


def test_a_piece_is_made_only_when_the_one_before_was_used() -> None:
    made: list[int] = []

    def pieces() -> Iterator[Samples]:
        for number in range(3):
            made.append(number)
            yield tone(0.1)

    sound = Shape(RATE, 1.0).shape(pieces(), 0.0)
    next(sound)
    assert made == [0]


def test_a_text_without_sound_is_a_pause() -> None:
    assert not shaped(pause=0.3).any()
    assert len(shaped(pause=0.3)) == int(0.3 * RATE)
