"""What the tests of TTS engines share: a reply to say, and its sound."""

from livekit import rtc

from agent.tts.base import Engine

REPLY = "Sure. I can help with that. When would you like to come?"


async def say(voice: Engine, text: str) -> list[rtc.AudioFrame]:
    async with voice.stream() as stream:
        stream.push_text(text)
        stream.end_input()
        return [audio.frame async for audio in stream]


def seconds(frames: list[rtc.AudioFrame]) -> float:
    return sum(frame.duration for frame in frames)


def sound(frames: list[rtc.AudioFrame]) -> bytes:
    return b"".join(bytes(frame.data) for frame in frames)
