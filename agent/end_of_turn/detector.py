"""Makes the rule about ends of turns LiveKit's turn detector."""

import asyncio
from dataclasses import dataclass

from livekit import rtc
from livekit.agents import LanguageCode, inference, stt
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions
from livekit.agents.utils.aio import cancel_and_wait
from livekit.agents.voice.turn import TurnDetectionEvent, _StreamingTurnDetectorStream

from agent.end_of_turn.rule import Delays, silence_needed
from llm_router.clock import Clock, SystemClock

_SILENCE_BEFORE = 0.224
"""Seconds of silence after which LiveKit asks: the first windows of 32 ms beyond 0.2 s."""
_LATE = 1.0
"""Seconds beyond the longest silence after which LiveKit need not wait for a decision."""


@dataclass(frozen=True, slots=True)
class _Words:
    text: str
    language: LanguageCode | None
    at: float


class EndOfTurn:
    """Turn detector that asks LiveKit's own, which goes by the sound, and heeds the words.

    LiveKit asks it at the begin of each silence, and takes its answer, once that comes, for the end
    of the turn, unless the caller has gone on.
    """

    model = "turn-detector-v1-mini"
    provider = "livekit"

    def __init__(self, delays: Delays, clock: Clock | None = None) -> None:
        self._delays = delays
        self._clock = clock or SystemClock()
        # It is named: left to itself, LiveKit would use its cloud under `dev`.
        self._sound = inference.TurnDetector(version="v1-mini")
        self.words = EarlyWords(self._clock)

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> "EndOfTurnStream":
        sound = self._sound.stream(conn_options=conn_options)
        return EndOfTurnStream(sound, self.words, self._delays, self._clock)


class EarlyWords:
    """Remembers the words that a recogniser takes for the whole turn so far."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: _Words | None = None
        self._changed = asyncio.Event()
        self.come_in_pauses = False
        """Whether the recogniser sends words at the begin of a pause, so that they are worth
        waiting for; others send them once the turn has ended."""

    def note(self, event: stt.SpeechEvent) -> None:
        """Takes an event of the recogniser. Words while the caller speaks are not the whole turn's,
        and are left out.
        """
        early = event.type is stt.SpeechEventType.PREFLIGHT_TRANSCRIPT
        if not (early or event.type is stt.SpeechEventType.FINAL_TRANSCRIPT):
            return
        self.come_in_pauses |= early
        if event.alternatives:
            data = event.alternatives[0]
            self._last = _Words(data.text, data.language or None, self._clock.now())
            self._changed.set()

    def since(self, time: float) -> _Words | None:
        """Returns the last words if they came at that time or later."""
        return self._last if self._last and self._last.at >= time else None

    async def change(self) -> None:
        """Waits for the next words."""
        self._changed.clear()
        await self._changed.wait()


class EndOfTurnStream:
    """Stream of one call; `sound` is LiveKit's, which this one owns."""

    def __init__(
        self,
        sound: _StreamingTurnDetectorStream,
        words: EarlyWords,
        delays: Delays,
        clock: Clock,
    ) -> None:
        self._sound = sound
        self._words = words
        self._delays = delays
        self._clock = clock
        self._decided: asyncio.Future[TurnDetectionEvent] | None = None
        self._deciding: set[asyncio.Task[None]] = set()

    def predict(self) -> asyncio.Future[TurnDetectionEvent]:
        """Returns a future that is done when the turn has ended, or with probability 0 if the
        question is dropped.
        """
        self.cancel_inference()
        self._decided = asyncio.get_running_loop().create_future()
        deciding = asyncio.create_task(self._decide(self._sound.predict(), self._decided))
        self._deciding.add(deciding)
        deciding.add_done_callback(self._deciding.discard)
        return self._decided

    async def _decide(
        self,
        by_sound: asyncio.Future[TurnDetectionEvent],
        decided: asyncio.Future[TurnDetectionEvent],
    ) -> None:
        silent_since = self._clock.now() - _SILENCE_BEFORE
        probability = (await by_sound).end_of_turn_probability
        while (rest := await self._rest(silent_since, probability)) > 0:
            try:
                async with asyncio.timeout(rest):
                    await self._words.change()
            except TimeoutError:
                pass
        if not decided.done():
            decided.set_result(_event(1.0))

    async def _rest(self, silent_since: float, probability: float) -> float:
        """Returns how much longer the silence must last (s), by what is known now."""
        words = self._words.since(silent_since)
        needed = self._delays.most
        if words or not self._words.come_in_pauses:
            language = words.language if words else None
            needed = silence_needed(
                probability,
                await self._sound.unlikely_threshold(language) or 1.0,
                words.text if words else None,
                language or "",
                self._delays,
            )
        return silent_since + needed - self._clock.now()

    def cancel_inference(self, *, timed_out: bool = False) -> None:
        for deciding in self._deciding:
            deciding.cancel()
        if self._decided and not self._decided.done():
            self._decided.set_result(_event(0.0))
        self._sound.cancel_inference(timed_out=timed_out)

    def flush(self, reason: str | None = None) -> None:
        self.cancel_inference()
        self._sound.flush(reason)

    async def aclose(self) -> None:
        self.cancel_inference()
        await cancel_and_wait(*self._deciding)
        await self._sound.aclose()

    # ── What is LiveKit's ────────────────────────────────────────────────────────────────────────

    @property
    def model(self) -> str:
        return self._sound.model

    @property
    def provider(self) -> str:
        return self._sound.provider

    @property
    def is_fallback(self) -> bool:
        return self._sound.is_fallback

    @property
    def prediction_timeout(self) -> float:
        return self._delays.most + _LATE

    async def unlikely_threshold(self, language: LanguageCode | None) -> float | None:
        return await self._sound.unlikely_threshold(language)

    async def backchannel_threshold(self, language: LanguageCode | None) -> float | None:
        return await self._sound.backchannel_threshold(language)

    async def supports_language(self, language: LanguageCode | None) -> bool:
        return await self._sound.supports_language(language)

    def push_audio(self, frame: rtc.AudioFrame) -> None:
        self._sound.push_audio(frame)

    def end_input(self) -> None:
        self._sound.end_input()


def _event(probability: float) -> TurnDetectionEvent:
    # LiveKit's own detectors put the wall time of their answer there, and nothing reads it.
    return TurnDetectionEvent(
        type="eot_prediction", end_of_turn_probability=probability, last_speaking_time=0.0
    )
