"""Implements LiveKit's STT with pocketsphinx, whose English model is in its wheel.

It decodes while the caller speaks, so the words are ready some milliseconds after the end.
"""

import asyncio
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import numpy as np
from livekit import rtc
from livekit.agents import APIConnectOptions, APIError, LanguageCode, stt
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr
from livekit.agents.utils import AudioBuffer, shortuuid
from livekit.local_inference import VAD

from agent.speech.gate import SpeechGate, Windows
from agent.speech.samples import RATE, to_samples
from agent.speech.stt import STTOptions
from llm_router.errors import ConfigurationError

try:
    from agent.stt.embedded.decoder import Decoder
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        "STT engine 'embedded' needs pocketsphinx: run make setup"
    ) from missing

T = TypeVar("T")

_BEFORE_BYTES = int(0.3 * RATE) * 2
_INTERIM_SECONDS = 0.3
_LANGUAGE = LanguageCode("en")


def create(options: STTOptions) -> "EmbeddedSTT":
    """Makes the engine. Raises ConfigurationError for a language other than English."""
    if options.language.lower().split("-")[0] != "en":
        raise ConfigurationError(
            f"STT engine 'embedded' knows English only, not {options.language!r}; choose another,"
            " or add a whisper model that knows it (docs/speech.md)"
        )
    # It takes any sound for English: where others may be spoken, that says nothing.
    language = LanguageCode("") if options.others else _LANGUAGE
    return EmbeddedSTT(loads_early=not options.is_spare, language=language)


class _LentDecoder:
    """A decoder lent to one stream. Every method runs on the engine's decoder thread."""

    def __init__(self, idle: list[Decoder]) -> None:
        self._idle = idle
        self._decoder: Decoder | None = None
        self._in_utterance = False

    def process(self, pcm: bytes) -> str:
        """Decodes 16 kHz mono 16-bit samples, and begins an utterance if none has begun.

        Returns the words of the utterance so far; they may still change.
        """
        if self._decoder is None:
            self._decoder = self._idle.pop() if self._idle else Decoder()
        if not self._in_utterance:
            self._decoder.start()
            self._in_utterance = True
        self._decoder.process(pcm)
        return self._decoder.words()

    def settle(self) -> tuple[str, list[float]]:
        """Ends the utterance; returns its final words and the confidence in each, 0 to 1."""
        if self._decoder is None or not self._in_utterance:
            return "", []
        self._decoder.end()
        self._in_utterance = False
        return self._decoder.words(), self._decoder.confidences()

    def recognize(self, frame: rtc.AudioFrame) -> tuple[str, list[float]]:
        """Decodes a whole utterance; returns its words and the confidence in each, 0 to 1."""
        self.process(to_samples(frame))
        return self.settle()

    def give_back(self) -> None:
        """Returns the decoder for the next stream, unless another one is idle already.

        One idle decoder is enough: the memory of a second is worth more than the 0.3 s it saves.
        """
        decoder = self._decoder
        self._decoder = None
        if decoder is None or self._idle:
            return
        with suppress(RuntimeError):  # it cannot leave its state and is dropped
            if self._in_utterance:
                decoder.end()
            self._idle.append(decoder)

    def discard(self) -> None:
        self._decoder = None


class EmbeddedSTT(stt.STT[Any]):
    """Streaming STT for English; the words are final as soon as the stream is flushed.

    Each open stream has a decoder of its own, so the calls of one process never mix; one idle
    decoder is reserved for the next stream. All of them decode on one thread, which `aclose` ends.
    """

    def __init__(self, *, loads_early: bool = True, language: LanguageCode = _LANGUAGE) -> None:
        """`loads_early`: whether the first decoder is made now, and not for the first word.

        `language`: that of every transcript.
        """
        super().__init__(
            capabilities=stt.STTCapabilities(
                streaming=True, interim_results=True, manual_flush=True
            )
        )
        self._language = language
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pocketsphinx")
        self._idle: list[Decoder] = []  # touched on the thread only
        if loads_early:
            # Loading takes 0.3 s, for which the caller's first word would have to wait.
            self._thread.submit(lambda: self._idle.append(Decoder()))
        self._streams: weakref.WeakSet[_Stream] = weakref.WeakSet()

    @property
    def model(self) -> str:
        return "pocketsphinx-en-us"

    @property
    def provider(self) -> str:
        return "embedded"

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,  # noqa: ARG002  the model knows one language
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> "_Stream":
        stream = _Stream(self, conn_options)
        self._streams.add(stream)
        return stream

    async def _recognize_impl(
        self,
        buffer: AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,  # noqa: ARG002  the model knows one language
        conn_options: APIConnectOptions,  # noqa: ARG002  there is nothing to connect to
    ) -> stt.SpeechEvent:
        with self.lend() as decoder:
            words, confidences = await self.run(
                decoder, decoder.recognize, rtc.combine_audio_frames(buffer)
            )
        return self.transcript(stt.SpeechEventType.FINAL_TRANSCRIPT, words, confidences)

    def transcript(
        self, kind: stt.SpeechEventType, words: str, confidences: Sequence[float] = ()
    ) -> stt.SpeechEvent:
        """Makes an event of the words; its confidence is the mean of theirs, or 0 without any."""
        confidence = min(1.0, sum(confidences) / len(confidences)) if confidences else 0.0
        data = stt.SpeechData(language=self._language, text=words, confidence=confidence)
        return stt.SpeechEvent(kind, request_id=shortuuid(), alternatives=[data])

    @contextmanager
    def lend(self) -> Iterator[_LentDecoder]:
        """Lends a decoder to one stream, until the end of the block, even amid an utterance."""
        decoder = _LentDecoder(self._idle)
        try:
            yield decoder
        finally:
            with suppress(RuntimeError):  # the engine was closed first, and its decoders with it
                self._thread.submit(decoder.give_back)

    async def run(self, decoder: _LentDecoder, method: Callable[..., T], *arguments: object) -> T:
        """Runs one of the decoder's methods on the decoder thread.

        If it fails, the decoder is dropped and APIError raised: LiveKit then runs the stream again,
        with another decoder. Cancellation returns at once, while the thread finishes the method.
        """
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, method, *arguments)
        except RuntimeError as failure:
            decoder.discard()
            raise APIError(
                "the embedded recogniser failed; another decoder takes over"
            ) from failure

    async def aclose(self) -> None:
        for stream in list(self._streams):
            await stream.aclose()
        self._thread.shutdown(wait=False)


class _Stream(stt.RecognizeStream):
    def __init__(self, engine: EmbeddedSTT, conn_options: APIConnectOptions) -> None:
        super().__init__(stt=engine, conn_options=conn_options, sample_rate=RATE)
        self._engine = engine

    async def _run(self) -> None:
        with self._engine.lend() as decoder, VAD() as detector:
            transcriber = _Transcriber(self._engine, decoder, detector, self._event_ch.send_nowait)
            async for item in self._input_ch:
                if isinstance(item, rtc.AudioFrame):
                    await transcriber.push(bytes(item.data))
                else:  # a flush: the turn is over
                    await transcriber.finish()
            await transcriber.finish()


class _Transcriber:
    """Turns the audio of one run of a stream into STT events."""

    def __init__(
        self,
        engine: EmbeddedSTT,
        decoder: _LentDecoder,
        detector: VAD,
        send: Callable[[stt.SpeechEvent], None],
    ) -> None:
        self._engine = engine
        self._decoder = decoder
        self._detector = detector
        self._send = send
        self._gate = SpeechGate()
        self._windows = Windows()
        self._before = b""  # audio just before speech, whose beginning the detector misses
        self._begin()

    def _begin(self) -> None:
        self._settled = ""
        self._unsettled = ""
        self._confidences: list[float] = []  # one for each settled word
        self._sent = ""
        self._seconds = 0.0
        self._seconds_sent = 0.0

    async def push(self, pcm: bytes) -> None:
        for window in self._windows.cut(pcm):
            await self._window(window)

    async def finish(self) -> None:
        """Ends the utterance, if there is one."""
        if not self._gate.is_open:
            return
        if not self._gate.is_resting:
            await self._settle()
        self._gate.close()
        if self._settled:
            final = stt.SpeechEventType.FINAL_TRANSCRIPT
            self._send(self._engine.transcript(final, self._settled, self._confidences))
        self._send(stt.SpeechEvent(stt.SpeechEventType.END_OF_SPEECH))
        usage = stt.RecognitionUsage(audio_duration=self._seconds)
        self._send(stt.SpeechEvent(stt.SpeechEventType.RECOGNITION_USAGE, recognition_usage=usage))
        self._begin()

    async def _window(self, window: bytes) -> None:
        match self._gate.step(self._detector.predict(np.frombuffer(window, np.int16))):
            case "closed" | "silence":
                self._before = (self._before + window)[-_BEFORE_BYTES:]
            case "opens" | "resumes" as step:
                if step == "opens":
                    self._send(stt.SpeechEvent(stt.SpeechEventType.START_OF_SPEECH))
                before = self._before
                self._before = b""
                await self._decode(before + window)
            case "speech":
                await self._decode(window)
                if self._seconds - self._seconds_sent >= _INTERIM_SECONDS:
                    self._send_words(stt.SpeechEventType.INTERIM_TRANSCRIPT)
            case "pause":
                await self._decode(window)
                self._send_words(stt.SpeechEventType.PREFLIGHT_TRANSCRIPT)
            case "rests":
                self._before = window
                await self._settle()
                if self._settled != self._sent:  # else the early answer is to the same words
                    self._send_words(stt.SpeechEventType.PREFLIGHT_TRANSCRIPT)
            case "over":
                await self.finish()

    async def _decode(self, pcm: bytes) -> None:
        self._unsettled = await self._engine.run(self._decoder, self._decoder.process, pcm)
        self._seconds += len(pcm) / 2 / RATE

    async def _settle(self) -> None:
        words, confidences = await self._engine.run(self._decoder, self._decoder.settle)
        self._settled = f"{self._settled} {words}".strip()
        self._unsettled = ""
        self._confidences += confidences

    def _send_words(self, kind: stt.SpeechEventType) -> None:
        """Sends the words so far. An interim transcript is sent only if its words are new.

        After a preflight transcript, an interim one with the same words would make it stale.
        """
        self._seconds_sent = self._seconds
        words = f"{self._settled} {self._unsettled}".strip()
        is_new = words != self._sent or kind is stt.SpeechEventType.PREFLIGHT_TRANSCRIPT
        if words and is_new:
            self._sent = words
            self._send(self._engine.transcript(kind, words))
