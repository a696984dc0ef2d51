"""The sounds of tests and benches: recordings, channels, and clips without speech."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from tests.sounds import channels
from tests.sounds.non_speech import NON_SPEECH, SECONDS
from tests.sounds.samples import RATE, Samples, level, read_sound, silence, to_samples, write_opus

PEOPLE = Path(__file__).parents[1] / "sounds" / "people"


def tone(frequency: float, amplitude: float = 8000.0, seconds: float = 0.5) -> Samples:
    times = np.arange(round(seconds * RATE)) / RATE
    return to_samples(amplitude * np.sin(2 * np.pi * frequency * times))


def decibels(after: Samples, before: Samples) -> float:
    """Returns how much louder the middle of a sound has become."""
    middle = slice(len(before) // 4, -len(before) // 4)
    return float(20 * np.log10(level(after[middle]) / level(before[middle])))


LAWS: list[Literal["mu", "a"]] = ["mu", "a"]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("frequency", [500, 1000, 3000])
def test_a_telephone_passes_300_to_3400_hertz(law: Literal["mu", "a"], frequency: float) -> None:
    assert abs(decibels(channels.telephone(tone(frequency), law), tone(frequency))) < 0.5


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("frequency", [100, 5000])
def test_a_telephone_stops_all_else(law: Literal["mu", "a"], frequency: float) -> None:
    middle = channels.telephone(tone(frequency), law)[RATE // 8 : -RATE // 8]
    assert np.abs(middle).max() < 80  # of 8,000


@pytest.mark.parametrize(
    ("law", "sample", "coded"),
    [
        ("mu", 0, 0),
        ("mu", 5, 8),
        ("mu", 32767, 32124),
        ("mu", -32768, -32124),
        ("a", 3, 8),
        ("a", -3, -8),
        ("a", 32767, 32256),
    ],
)
def test_g711_has_the_values_of_the_standard(
    law: Literal["mu", "a"], sample: int, coded: int
) -> None:
    assert channels.code_g711(np.array([sample], np.int16), law)[0] == coded


def test_coding_twice_changes_nothing_more() -> None:
    once = channels.code_g711(tone(440), "mu")
    assert (channels.code_g711(once, "mu") == once).all()


@pytest.mark.parametrize("distance", [5.0, 15.0])
def test_noise_is_so_many_decibels_below_the_speech(distance: float) -> None:
    speech = np.concatenate([silence(1), tone(440, seconds=1), silence(1)])
    noisy = channels.add_noise(speech, channels.coloured_noise(0.7, 1.0), distance)
    assert 20 * np.log10(level(speech) / level(noisy[: RATE // 2])) == pytest.approx(
        distance, abs=1
    )


def test_opus_delays_nothing() -> None:
    click = np.concatenate([silence(0.5), tone(440), silence(0.5)])
    after = channels.opus(click)
    assert len(after) == len(click)
    assert np.abs(after[: RATE // 2 - RATE // 50]).max() < 200
    assert abs(decibels(after, click)) < 1


def test_voices_of_a_babble_are_equally_loud() -> None:
    mixed = channels.babble([tone(300, 9000), tone(2000, 90, 0.25)])
    spectrum = np.abs(np.fft.rfft(mixed))
    assert spectrum[150] == pytest.approx(spectrum[1000], rel=0.05)


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
def test_noise_falls_with_the_frequency(slope: float) -> None:
    power = np.abs(np.fft.rfft(channels.coloured_noise(4, slope))) ** 2
    octave = [power[4 * low : 8 * low].mean() for low in (500, 1000)]
    assert octave[0] / octave[1] == pytest.approx(2**slope, rel=0.1)


@pytest.mark.parametrize("channel", [channels.telephone, channels.opus])
def test_a_channel_gives_the_same_every_time(channel: Callable[[Samples], Samples]) -> None:
    speech = read_sound(PEOPLE / "mary.opus")
    assert (channel(speech) == channel(speech)).all()


@pytest.mark.parametrize("name", NON_SPEECH)
def test_a_clip_without_speech_is_the_same_every_time(name: str) -> None:
    clip = NON_SPEECH[name]()
    assert len(clip) == SECONDS * RATE
    assert (clip == NON_SPEECH[name]()).all()
    assert (name == "silence") == (not clip.any())


@pytest.mark.parametrize("name", tomllib.loads((PEOPLE / "people.toml").read_text()))
def test_every_recording_of_a_person_is_there_and_audible(name: str) -> None:
    recording = read_sound(PEOPLE / f"{name}.opus")
    assert 1.0 < len(recording) / RATE < 12.0
    assert level(recording) > 300


def test_a_written_recording_reads_as_long_as_it_was(tmp_path: Path) -> None:
    write_opus(tmp_path / "tone.opus", tone(440), 48_000)
    assert abs(len(read_sound(tmp_path / "tone.opus")) - RATE // 2) < RATE // 50


def test_the_level_is_that_of_the_speech_without_its_pauses() -> None:
    spoken = np.concatenate([silence(2), tone(440, 1000), silence(2)])
    assert level(spoken) == pytest.approx(1000 / np.sqrt(2), rel=0.02)
    assert level(silence(1)) == 0
