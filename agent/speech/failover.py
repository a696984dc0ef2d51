"""Moves a stream to a spare recogniser, with the words that the first one failed on."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, APIError, stt
from livekit.agents.stt import SpeechEvent, SpeechEventType
from livekit.agents.types import NotGivenOr
from livekit.agents.utils.aio import cancel_and_wait

from llm_router.clock import Clock, SystemClock

_MOST_SECONDS = 30.0
"""Audio of an unfinished utterance that the spare gets."""
_MOST_SILENT = 6.0
"""The same before an engine has found speech in it: an engine may fail before it finds any."""
_BACK_AFTER = 20.0
"""Seconds after a failure until the first engine is tried again, between two utterances."""
_log = logging.getLogger(__name__)


class FailoverStream(stt.RecognizeStream):
    """Streams to the first engine that works; another gets the unfinished utterance from its begin.

    A call goes back to the first engine after an utterance, once 20 s have passed.
    """

    def __init__(
        self,
        adapter: stt.FallbackAdapter,
        engines: Sequence[stt.STT[Any]],
        *,
        timeout: float,
        language: NotGivenOr[str],
        conn_options: APIConnectOptions,
        clock: Clock | None = None,
    ) -> None:
        """`timeout`: of one attempt (s)."""
        super().__init__(stt=adapter, conn_options=conn_options)
        self._engines = engines
        self._language = language
        self._attempt = replace(conn_options, max_retry=0, timeout=timeout)
        self._clock = clock or SystemClock()
        self._unfinished: deque[rtc.AudioFrame | stt.RecognizeStream._FlushSentinel] = deque()
        self._seconds = 0.0
        self._is_speaking = False

    async def _run(self) -> None:
        place = 0
        back_at = 0.0
        while place < len(self._engines):
            engine = self._engines[place]
            try:
                if await self._run_with(engine, back_at if place else None):
                    return
                place = 0
            except Exception as error:  # noqa: BLE001  an engine may raise anything
                reason = error if isinstance(error, APIError) else type(error).__name__
                _log.warning("%s failed, the next engine takes over: %s", engine.label, reason)
                changed = stt.AvailabilityChangedEvent(stt=engine, available=False)
                self._stt.emit("stt_availability_changed", changed)
                place += 1
                back_at = self._clock.now() + _BACK_AFTER
        raise APIConnectionError("every STT engine of the call has failed")

    async def _run_with(self, engine: stt.STT[Any], back_at: float | None) -> bool:
        """Returns whether the input has ended; else it is time to go back to the first engine."""
        stream = engine.stream(language=self._language, conn_options=self._attempt)
        async with stream:
            for item in self._unfinished:
                _push(stream, item)
            forwarding = asyncio.create_task(self._forward(stream))
            try:
                async for event in stream:
                    self._pass_on(event)
                    ended = event.type is SpeechEventType.END_OF_SPEECH
                    if ended and back_at is not None and self._clock.now() >= back_at:
                        return False
            finally:
                await cancel_and_wait(forwarding)
        return True

    async def _forward(self, stream: stt.RecognizeStream) -> None:
        async for item in self._input_ch:
            self._remember(item)
            with suppress(RuntimeError):  # it has failed, and the next engine gets this too
                _push(stream, item)
        with suppress(RuntimeError):
            stream.end_input()

    def _remember(self, item: rtc.AudioFrame | stt.RecognizeStream._FlushSentinel) -> None:
        self._unfinished.append(item)
        self._seconds += _seconds(item)
        most = _MOST_SECONDS if self._is_speaking else _MOST_SILENT
        while self._seconds > most:
            self._seconds -= _seconds(self._unfinished.popleft())

    def _pass_on(self, event: SpeechEvent) -> None:
        match event.type:
            case SpeechEventType.START_OF_SPEECH:
                if self._is_speaking:  # the engine before has said so
                    return
                self._is_speaking = True
            case SpeechEventType.FINAL_TRANSCRIPT:
                self._finish()
            case SpeechEventType.END_OF_SPEECH:
                if self._is_speaking:  # nothing was said
                    self._finish()
        self._event_ch.send_nowait(event)

    def _finish(self) -> None:
        """Forgets the audio up to the end of the turn, whose words are given out."""
        self._is_speaking = False
        # An engine that ended the turn before by itself was flushed for it later.
        while self._unfinished and not isinstance(self._unfinished[0], rtc.AudioFrame):
            self._unfinished.popleft()
        while self._unfinished:
            item = self._unfinished.popleft()
            self._seconds -= _seconds(item)
            if not isinstance(item, rtc.AudioFrame):
                break

    async def _metrics_monitor_task(self, event_aiter: AsyncIterable[SpeechEvent]) -> None:
        async for _ in event_aiter:  # the engines report their own
            pass


def _push(
    stream: stt.RecognizeStream, item: rtc.AudioFrame | stt.RecognizeStream._FlushSentinel
) -> None:
    if isinstance(item, rtc.AudioFrame):
        stream.push_frame(item)
    else:
        stream.flush()


def _seconds(item: rtc.AudioFrame | stt.RecognizeStream._FlushSentinel) -> float:
    return item.duration if isinstance(item, rtc.AudioFrame) else 0.0
