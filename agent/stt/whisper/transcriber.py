"""Turns the audio of one run of a stream into STT events, with the decodes of a speech process."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Literal

import numpy as np
from livekit.agents import APIStatusError, stt
from livekit.agents.stt import SpeechEvent, SpeechEventType
from livekit.agents.utils import shortuuid
from livekit.agents.utils.aio import cancel_and_wait
from livekit.local_inference import VAD, VAD_WINDOW_SAMPLES

from agent.speech.gate import WINDOW_SECONDS, SpeechGate, Windows
from agent.speech.process.client import SpeechClient
from agent.speech.samples import RATE
from agent.stt.whisper.spoken_language import SpokenLanguage
from agent.stt.whisper.utterance import Excerpt, Utterance
from llm_router.clock import Clock

_BEFORE_WINDOWS = int(0.4 * RATE) // VAD_WINDOW_SAMPLES
"""Windows before speech that are decoded, too: the detector misses its beginning."""
_PAUSE = 0.09
"""Seconds of silence after which the words so far are sent for an early answer.

They are decoded from the first silent window on, and mostly sent once that is done. Few silences
are shorter: one in twelve of our callers' sentences has one, and one in four seconds of people who
read aloud.
"""


class Transcriber:
    """Transcribes one caller. At most one decode is asked for at a time.

    Its methods raise APIError if the speech process fails; a decode for words while the caller
    speaks that is refused as too much work is left out. `aclose` ends the decode in flight.
    """

    def __init__(
        self,
        client: SpeechClient,
        detector: VAD,
        send: Callable[[SpeechEvent], None],
        *,
        spoken: SpokenLanguage,
        timeout: float,
        clock: Clock,
    ) -> None:
        """`timeout`: of a decode (s)."""
        self._client = client
        self._detector = detector
        self._send = send
        self._spoken = spoken
        self._timeout = timeout
        self._clock = clock
        self._gate = SpeechGate(_PAUSE)
        self._windows = Windows()
        self._before: list[tuple[bytes, float]] = []
        self._decoding: asyncio.Task[None] | None = None
        self._excerpt: Excerpt | None = None  # what `_decoding` decodes
        self._begin()

    def _begin(self, took: float = 0.0) -> None:
        self._spoken.begin()
        self._utterance = Utterance(self._spoken.code, took)
        self._sent = ""

    async def push(self, pcm: bytes) -> None:
        """Takes mono 16-bit samples at 16 kHz."""
        for window in self._windows.cut(pcm):
            await self._window(window)

    async def finish(self) -> None:
        """Ends the utterance, if there is one, and sends its final words."""
        if not self._gate.is_open:
            return
        self._gate.close()
        utterance = self._utterance
        if self._decoding and self._excerpt and utterance.covers(self._excerpt):
            await self._decoding
        if not utterance.is_covered:
            await self._stop()
            await self._decode(utterance.excerpt(), "final")
        await self._stop()
        if utterance.text:
            self._send_words(SpeechEventType.FINAL_TRANSCRIPT, utterance.text, utterance.confidence)
        self._send(SpeechEvent(SpeechEventType.END_OF_SPEECH))
        usage = stt.RecognitionUsage(audio_duration=utterance.seconds)
        self._send(SpeechEvent(SpeechEventType.RECOGNITION_USAGE, recognition_usage=usage))
        self._begin(utterance.took)

    async def aclose(self) -> None:
        if self._decoding:
            await cancel_and_wait(self._decoding)
            self._decoding = None

    async def _window(self, window: bytes) -> None:
        self._check()
        probability = self._detector.predict(np.frombuffer(window, np.int16))
        match self._gate.step(probability):
            case "closed" | "silence":
                self._before = [*self._before, (window, probability)][-_BEFORE_WINDOWS:]
            case "opens":
                self._send(SpeechEvent(SpeechEventType.START_OF_SPEECH))
                self._add(window, probability)
            case "resumes":
                if not self._decoding:
                    self._utterance.resume()
                self._add(window, probability)
            case "speech":
                self._add(window, probability)
                if self._gate.silence == WINDOW_SECONDS:
                    await self._decode_for_answer()
                else:
                    await self._decode_while_speaking()
            case "pause":
                self._add(window, probability)
                await self._decode_for_answer()
            case "rests":
                self._add(window, probability)
            case "over":
                await self.finish()

    def _add(self, window: bytes, probability: float) -> None:
        for earlier, chance in self._before:
            self._utterance.add(earlier, chance, is_speech=False)
        self._before = []
        self._utterance.add(window, probability, is_speech=self._gate.silence == 0)

    async def _decode_while_speaking(self) -> None:
        utterance = self._utterance
        if utterance.is_too_long:  # the decodes before were refused, or the audio came at once
            await self._stop()
            await self._decode(utterance.excerpt(), "final")
        elif not self._decoding and not self._gate.silence and utterance.is_due():
            self._start("final" if utterance.is_long else "interim")

    async def _decode_for_answer(self) -> None:
        """Decodes all speech so far, for an early answer, though it may go on."""
        if self._decoding and self._excerpt and self._utterance.covers(self._excerpt):
            return
        await self._stop()
        if self._utterance.is_covered:
            self._report()
        else:
            self._start("final")

    def _start(self, urgency: Literal["final", "interim"]) -> None:
        self._excerpt = self._utterance.excerpt()
        self._decoding = asyncio.create_task(self._decode_early(self._excerpt, urgency))

    async def _decode_early(self, excerpt: Excerpt, urgency: Literal["final", "interim"]) -> None:
        """Decodes before the end of the utterance; then it is no failure to be refused."""
        try:
            await self._decode(excerpt, urgency)
        except APIStatusError as error:
            if error.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            self._utterance.refuse()
            return
        if self._gate.is_open:
            self._report()

    async def _decode(self, excerpt: Excerpt, urgency: Literal["final", "interim"]) -> None:
        began = self._clock.now()
        decoded = await self._client.transcribe(
            excerpt.samples,
            urgency=urgency,
            language=self._spoken.code,
            before=excerpt.before,
            among=() if excerpt.before else self._spoken.choice,
            timeout=self._timeout,
        )
        self._spoken.take(decoded.language)
        self._utterance.language = self._spoken.code
        self._utterance.take(excerpt, decoded, self._clock.now() - began)

    def _report(self) -> None:
        """Sends the words so far: all of them in a pause, else those that will hardly change."""
        utterance = self._utterance
        if utterance.is_covered and self._gate.silence >= _PAUSE:
            if utterance.text:
                self._send_words(SpeechEventType.PREFLIGHT_TRANSCRIPT, utterance.text)
            return
        # After a preflight transcript, an interim one with the same words would make it stale.
        if len(utterance.agreed_text) > len(self._sent):
            self._send_words(SpeechEventType.INTERIM_TRANSCRIPT, utterance.agreed_text)

    def _send_words(self, kind: SpeechEventType, text: str, confidence: float = 0.0) -> None:
        self._sent = text
        data = stt.SpeechData(language=self._spoken.tag, text=text, confidence=confidence)
        self._send(SpeechEvent(kind, request_id=shortuuid(), alternatives=[data]))

    def _check(self) -> None:
        """Raises the error of a decode that has failed."""
        if self._decoding and self._decoding.done():
            done = self._decoding
            self._decoding = None
            done.result()

    async def _stop(self) -> None:
        """Ends the decode in flight, without its words. Raises its error if it failed before."""
        self._check()
        await self.aclose()
