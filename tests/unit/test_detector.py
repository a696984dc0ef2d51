"""The detector of voices finds speech as LiveKit's does, in the loop of the call."""

import threading
from pathlib import Path

import numpy as np
import pytest
from livekit import rtc
from livekit.agents.vad import VADEventType

from agent.speech.detector import voice_detector
from tests.sounds.samples import RATE, read_sound, silence

PEOPLE = Path(__file__).parents[1] / "sounds" / "people"
_FRAME = RATE // 50


async def test_speech_is_found_between_silences_without_a_thread() -> None:
    speech = read_sound(PEOPLE / "mary.opus")[: 3 * RATE]
    sound = np.concatenate([silence(0.5), speech, silence(1.0)])
    stream = voice_detector(0.25).stream()
    for at in range(0, len(sound), _FRAME):
        piece = sound[at : at + _FRAME]
        stream.push_frame(rtc.AudioFrame(piece.tobytes(), RATE, 1, len(piece)))
    stream.end_input()
    found = [event.type async for event in stream]
    threads = {thread.name for thread in threading.enumerate()}
    await stream.aclose()
    assert found.count(VADEventType.START_OF_SPEECH) >= 1
    assert found.count(VADEventType.START_OF_SPEECH) == found.count(VADEventType.END_OF_SPEECH)
    assert not any(name.startswith("inference.vad") for name in threads)


async def test_a_detector_that_fails_says_so_where_its_result_is_awaited() -> None:
    def fail() -> None:
        raise ValueError("no window")

    executor = voice_detector()._executor
    assert executor
    with pytest.raises(ValueError, match="no window"):
        executor.submit(fail).result(timeout=0)
