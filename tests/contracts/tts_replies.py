"""Holds what tests of TTS engines share: a reply to speak, and measures of its sound."""

from livekit import rtc

from agent.speech.tts import TTSEngine

REPLY = "Sure. I can help with that. When would you like to come?"


async def synthesize(engine: TTSEngine, text: str) -> list[rtc.AudioFrame]:
    async with engine.stream() as stream:
        stream.push_text(text)
        stream.end_input()
        return [audio.frame async for audio in stream]


def seconds(frames: list[rtc.AudioFrame]) -> float:
    return sum(frame.duration for frame in frames)


def sound(frames: list[rtc.AudioFrame]) -> bytes:
    return b"".join(bytes(frame.data) for frame in frames)
