"""The measure by which LiveKit's transcript keeps pace with a voice."""

import asyncio

import numpy as np
import pytest
from livekit import rtc
from livekit.agents.voice import io
from livekit.agents.voice.transcription import synchronizer
from livekit.agents.voice.transcription._speaking_rate import (
    SpeakingRateDetector,
    SpeakingRateEvent,
)

from agent.speech.pace import Loudness, LoudnessStream, measure_pace_by_loudness

RATE = 24_000


class Speaker(io.AudioOutput):
    """The end of a chain of sound, which plays nothing."""

    def __init__(self) -> None:
        super().__init__(label="speaker", capabilities=io.AudioOutputCapabilities(pause=False))

    async def capture_frame(self, frame: rtc.AudioFrame) -> None: ...

    def flush(self) -> None: ...

    def clear_buffer(self) -> None: ...


def frame(seconds: float, level: int) -> rtc.AudioFrame:
    count = round(seconds * RATE)
    samples = np.tile(np.array([level, -level], np.int16), count)[:count]
    return rtc.AudioFrame(samples.tobytes(), RATE, 1, count)


def measured(*frames: rtc.AudioFrame) -> list[SpeakingRateEvent]:
    async def run() -> list[SpeakingRateEvent]:
        stream = Loudness().stream()
        for each in frames:
            stream.push_frame(each)
        stream.end_input()
        return [event async for event in stream]

    return asyncio.run(run())


def test_the_audible_parts_of_a_voice_are_measured_and_pauses_are_not() -> None:
    events = measured(*[frame(0.02, 3000)] * 25, *[frame(0.02, 20)] * 25, *[frame(0.02, 3000)] * 25)
    rates = synchronizer._SpeakingRateData()
    for event in events:
        rates.add_by_rate(timestamp=event.timestamp, speaking_rate=event.speaking_rate)
    spoken = [rates.accumulate_to(at) for at in (0.5, 1.0, 1.5)]
    assert spoken == pytest.approx([0.5, 0.5, 1.0], abs=0.06)
    assert rates.pushed_duration == pytest.approx(1.5)


def test_the_end_of_a_voice_is_measured_however_short() -> None:
    assert [event.timestamp for event in measured(frame(0.05, 3000))] == [pytest.approx(0.05)]
    assert measured() == []


def test_a_voice_that_is_closed_takes_sound_without_an_error() -> None:
    async def run() -> None:
        stream = LoudnessStream()
        await stream.aclose()
        stream.push_frame(frame(0.2, 3000))
        stream.end_input()
        assert [event async for event in stream] == []

    asyncio.run(run())


def test_livekit_takes_this_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synchronizer, "SpeakingRateDetector", SpeakingRateDetector)
    measure_pace_by_loudness()

    async def run() -> object:
        made = synchronizer.TranscriptSynchronizer(
            next_in_chain_audio=Speaker(), next_in_chain_text=None
        )
        stream = made._impl._audio_data.sr_stream
        await made.aclose()
        return stream

    assert isinstance(asyncio.run(run()), LoudnessStream)
