"""A session with a voice but without a room: its speech is a click, and is played in no time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from livekit import rtc
from livekit.agents import Agent, AgentSession, llm, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions
from livekit.agents.voice import io

_RATE = 8000
_CLICK = bytes(160)


class Mouth(io.AudioOutput):
    """Plays everything at once."""

    def __init__(self) -> None:
        super().__init__(label="mouth", capabilities=io.AudioOutputCapabilities(pause=False))
        self._played = 0.0

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._played:
            self.on_playback_started(created_at=0.0)
        self._played += frame.duration

    def flush(self) -> None:
        super().flush()
        if self._played:
            played, self._played = self._played, 0.0
            self.on_playback_finished(playback_position=played, interrupted=False)

    def clear_buffer(self) -> None:
        self.flush()


class ClickTTS(tts.TTS[Any]):
    """Says any text as one click of 10 ms."""

    def __init__(self) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False), sample_rate=_RATE, num_channels=1
        )
        self.said: list[str] = []

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        self.said.append(text)
        return _Click(tts=self, input_text=text, conn_options=conn_options)


class _Click(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id="click", sample_rate=_RATE, num_channels=1, mime_type="audio/pcm"
        )
        output_emitter.push(_CLICK)
        output_emitter.flush()


@asynccontextmanager
async def voiced(
    model: llm.LLM[Any], agent: Agent | None = None
) -> AsyncIterator[AgentSession[None]]:
    """Starts a session that speaks the answers of `model`."""
    async with AgentSession[None](llm=model, tts=ClickTTS(), vad=None) as session:
        session.output.audio = Mouth()
        await session.start(agent or Agent(instructions="Be brief."))
        yield session
