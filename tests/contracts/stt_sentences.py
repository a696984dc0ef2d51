"""Holds what tests of STT engines share: recorded sentences, and checks of their transcripts."""

import re
import tomllib
import wave
from pathlib import Path

from livekit import rtc
from livekit.agents import stt
from livekit.agents.stt import SpeechEvent, SpeechEventType

from agent.speech.stt import STTEngine

FOLDER = Path(__file__).parents[1] / "voice" / "sentences"
SENTENCES = tomllib.loads((FOLDER / "sentences.toml").read_text())
RATE, FRAME = 16_000, 320  # 20 ms


def samples(name: str) -> bytes:
    """Returns the recorded sentence with half a second of silence on either side."""
    with wave.open(str(FOLDER / f"{name}.wav")) as wav:
        assert wav.getframerate() == RATE
        speech: bytes = wav.readframes(wav.getnframes())
    return bytes(RATE) + speech + bytes(RATE)


def push(stream: stt.RecognizeStream, pcm: bytes) -> None:
    for start in range(0, len(pcm) - 2 * FRAME + 1, 2 * FRAME):
        frame = rtc.AudioFrame(pcm[start : start + 2 * FRAME], RATE, 1, FRAME)
        stream.push_frame(frame)


async def transcribe(engine: STTEngine, name: str) -> list[SpeechEvent]:
    async with engine.stream() as stream:
        push(stream, samples(name))
        stream.end_input()
        return [event async for event in stream]


def words(events: list[SpeechEvent]) -> str:
    final = [event for event in events if event.type is SpeechEventType.FINAL_TRANSCRIPT]
    return " ".join(event.alternatives[0].text for event in final)


def has_key_words(text: str, name: str) -> bool:
    return set(SENTENCES[name]["key_words"]) <= set(re.findall(r"\w+", text.lower()))
