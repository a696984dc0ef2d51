"""Makes a TTS of a voice of the speech process; engines say which voice that is."""

import asyncio
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any

from livekit.agents import APIConnectOptions, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS
from livekit.agents.utils import shortuuid

from agent.speech.process.client import SpeechClient, SpeechLateError
from agent.speech.process.health import first_piece_within
from agent.speech.process.wire import MOST_AHEAD
from agent.speech.spoken_text import spoken_text

_FIRST_SOUND = 1.0
"""Seconds for the first piece of sound, while the caller waits; on two busy cores it took 0.5 s."""


class ReplySound:
    """The sound of a reply that was made so far, by its voice or by the spare.

    `was_late`: whether the voice came too late with the last text.
    """

    def __init__(self) -> None:
        self.was_late = False
        self._silent_at = 0.0

    def add(self, seconds: float, now: float) -> None:
        """Takes a piece of sound, which plays after those before it, now at the earliest."""
        self._silent_at = max(self._silent_at, now) + seconds

    def left(self, now: float) -> float:
        """Returns the seconds of it that are yet to be played, or less."""
        return max(0.0, self._silent_at - now)


_reply: ContextVar[ReplySound | None] = ContextVar("reply", default=None)


def begin_reply() -> None:
    """Makes the texts that this task, and those that it starts, have spoken parts of one reply.

    All but the first may wait until the sound before them has nearly been played.
    """
    _reply.set(ReplySound())


def current_reply() -> ReplySound:
    """Returns the reply of this task's text; a text of none is a reply by itself."""
    return _reply.get() or ReplySound()


class ProcessTTS(tts.TTS[Any]):
    """TTS that takes whole texts and gives their sound as it is made; it owns its client.

    `voice`: the model of the speech process. `name`: what telemetry calls it. `provider`: the
    engine. `language`: that of the texts, for numbers and signs. `patience`: seconds that a piece
    of sound may take, where that is more than callers of `synthesize` allow.
    """

    def __init__(
        self,
        voice: str,
        *,
        name: str,
        provider: str,
        language: str,
        sample_rate: int,
        speed: float,
        patience: float = 0.0,
    ) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False),
            sample_rate=sample_rate,
            num_channels=1,
        )
        spoken_text("", language)  # builds its rules: no caller waits for them
        self.client = SpeechClient(voice)
        self.language = language
        self.speed = speed
        self.patience = patience
        self.was_late = False
        """Whether it came too late with the last text, of whichever reply."""
        self._name = name
        self._provider = provider

    @property
    def model(self) -> str:
        return self._name

    @property
    def provider(self) -> str:
        return self._provider

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _Speech(self, text, conn_options)

    async def aclose(self) -> None:
        await super().aclose()
        await self.client.aclose()


class _Speech(tts.ChunkedStream):
    def __init__(self, engine: ProcessTTS, text: str, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=engine, input_text=text, conn_options=conn_options)
        self._engine = engine

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        """Speaks the text. Cancelled, it ends the work in the speech process at the next piece."""
        output_emitter.initialize(
            request_id=shortuuid(),
            sample_rate=self._engine.sample_rate,
            num_channels=1,
            mime_type="audio/pcm",
            frame_size_ms=20,
        )
        text = await asyncio.to_thread(spoken_text, self._input_text, self._engine.language)
        now = asyncio.get_running_loop().time
        reply = current_reply()
        ahead = min(reply.left(now()), MOST_AHEAD)
        usual = max(_FIRST_SOUND, self._engine.patience)
        # A reply begins anew, but callers do not wait for a slow voice that stays late each time.
        shortest = 0.0 if reply.was_late else _FIRST_SOUND
        sound = self._engine.client.speak(
            text,
            speed=self._engine.speed,
            silent_in=ahead,
            first=first_piece_within(
                usual, ahead, was_late=self._engine.was_late, shortest=shortest
            ),
            timeout=max(self._conn_options.timeout, self._engine.patience),
        )
        try:
            async with aclosing(sound) as pieces:
                async for piece in pieces:
                    self._engine.was_late = reply.was_late = False
                    output_emitter.push(piece)
                    reply.add(len(piece) / 2 / self._engine.sample_rate, now())
        except SpeechLateError:
            self._engine.was_late = reply.was_late = True
            raise
        output_emitter.flush()
