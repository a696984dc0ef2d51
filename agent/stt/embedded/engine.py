"""Ears with no key, no download and no network: pocketsphinx, whose English model is in its wheel.

It decodes while the caller speaks, so that the words are there some milliseconds after the end.
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
from livekit.local_inference import VAD, VAD_WINDOW_SAMPLES

from agent.speech.stt import STTOptions
from llm_router.errors import ConfigurationError

try:
    from agent.stt.embedded.decoder import RATE, Decoder
    from agent.stt.embedded.gate import SpeechGate
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        "STT engine 'embedded' needs pocketsphinx: pip install 'patchbay[embedded]'"
    ) from missing

T = TypeVar("T")

_WINDOW_BYTES = VAD_WINDOW_SAMPLES * 2
_BEFORE_BYTES = int(0.3 * RATE) * 2
_INTERIM_SECONDS = 0.3
_LANGUAGE = LanguageCode("en")


def create(options: STTOptions) -> "EmbeddedSTT":
    """Raises ConfigurationError for a language other than English."""
    if options.language.lower().split("-")[0] != "en":
        raise ConfigurationError(
            f"STT engine 'embedded' hears English only, not {options.language!r}; choose another"
        )
    return EmbeddedSTT()


class _Ear:
    """A decoder on loan to one stream. Every method runs on the engine's decoder thread."""

    def __init__(self, idle: list[Decoder]) -> None:
        self._idle = idle
        self._decoder: Decoder | None = None
        self._listening = False

    def hear(self, pcm: bytes) -> str:
        """Takes 16 kHz mono 16-bit samples; begins an utterance if none has begun.

        Gives what was heard of it so far; that may still change.
        """
        if self._decoder is None:
            self._decoder = self._idle.pop() if self._idle else Decoder()
        if not self._listening:
            self._decoder.start()
            self._listening = True
        self._decoder.hear(pcm)
        return self._decoder.words()

    def settle(self) -> tuple[str, list[float]]:
        """Ends the utterance: its words, now for good, and how sure the decoder is of each."""
        if self._decoder is None or not self._listening:
            return "", []
        self._decoder.end()
        self._listening = False
        return self._decoder.words(), self._decoder.sure()

    def whole(self, frame: rtc.AudioFrame) -> tuple[str, list[float]]:
        self.hear(_samples(frame))
        return self.settle()

    def give_back(self) -> None:
        """One decoder waits for the next stream; a second one's memory is worth more than 0.3 s."""
        decoder, self._decoder = self._decoder, None
        if decoder is None or self._idle:
            return
        with suppress(RuntimeError):  # cut off in a state it cannot leave: dropped
            if self._listening:
                decoder.end()
            self._idle.append(decoder)

    def discard(self) -> None:
        self._decoder = None


def _samples(frame: rtc.AudioFrame) -> bytes:
    """The frame's first channel at 16 kHz."""
    mono = np.frombuffer(frame.data, np.int16).reshape(-1, frame.num_channels)[:, 0].tobytes()
    if frame.sample_rate == RATE:
        return mono
    resampler = rtc.AudioResampler(frame.sample_rate, RATE)
    return b"".join(
        bytes(part.data) for part in [*resampler.push(bytearray(mono)), *resampler.flush()]
    )


class EmbeddedSTT(stt.STT[Any]):
    """English, streaming; the words are final as soon as the stream is flushed.

    Each open stream has a decoder to itself, so that calls in one process never hear each other;
    one decoder is kept for the next stream. All decode on one thread, which `aclose` ends.
    """

    def __init__(self) -> None:
        super().__init__(
            capabilities=stt.STTCapabilities(
                streaming=True, interim_results=True, manual_flush=True
            )
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pocketsphinx")
        self._idle: list[Decoder] = []  # touched on the thread only
        self._is_warm = False
        self._streams: weakref.WeakSet[_Stream] = weakref.WeakSet()

    @property
    def model(self) -> str:
        return "pocketsphinx-en-us"

    @property
    def provider(self) -> str:
        return "embedded"

    def prewarm(self) -> None:
        """Loads the first decoder on its thread; later calls do nothing.

        Call it before the call begins: loading takes 0.3 s, and without this the caller's first
        word sets it off.
        """
        if not self._is_warm:
            self._is_warm = True
            self._thread.submit(lambda: self._idle.append(Decoder()))

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
        with self.lend() as ear:
            words, sure = await self.ask(ear, ear.whole, rtc.combine_audio_frames(buffer))
        return _transcript(stt.SpeechEventType.FINAL_TRANSCRIPT, words, sure)

    @contextmanager
    def lend(self) -> Iterator[_Ear]:
        """An ear for one stream; taken back with the block, whatever it was in the midst of."""
        ear = _Ear(self._idle)
        try:
            yield ear
        finally:
            with suppress(RuntimeError):  # the engine was closed first; the decoder goes with it
                self._thread.submit(ear.give_back)

    async def ask(self, ear: _Ear, work: Callable[..., T], *arguments: object) -> T:
        """Runs one of the ear's methods on the decoder thread.

        A decoder that fails is dropped and APIError raised, on which LiveKit runs the stream again,
        with another decoder. Cancelled, the caller leaves at once and the thread finishes the step.
        """
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, work, *arguments)
        except RuntimeError as failure:
            ear.discard()
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
        with self._engine.lend() as ear, VAD() as detector:
            listener = _Listener(self._engine, ear, detector, self._event_ch.send_nowait)
            async for item in self._input_ch:
                if isinstance(item, rtc.AudioFrame):
                    await listener.take(bytes(item.data))
                else:  # a flush: the turn is over
                    await listener.finish()
            await listener.finish()


class _Listener:
    """Audio in, events out, for one run of a stream."""

    def __init__(
        self,
        engine: EmbeddedSTT,
        ear: _Ear,
        detector: VAD,
        send: Callable[[stt.SpeechEvent], None],
    ) -> None:
        self._engine, self._ear, self._detector, self._send = engine, ear, detector, send
        self._gate = SpeechGate()
        self._waiting = b""  # less than a window
        self._before = b""  # what came just before speech: the detector notices it late
        self._begin()

    def _begin(self) -> None:
        self._settled = self._unsettled = ""
        self._sure: list[float] = []  # of each word that is settled
        self._shown = ""
        self._seconds = self._seconds_shown = 0.0

    async def take(self, pcm: bytes) -> None:
        self._waiting += pcm
        while len(self._waiting) >= _WINDOW_BYTES:
            window, self._waiting = self._waiting[:_WINDOW_BYTES], self._waiting[_WINDOW_BYTES:]
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
            self._send(_transcript(final, self._settled, self._sure))
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
                before, self._before = self._before, b""
                await self._hear(before + window)
            case "speech":
                await self._hear(window)
                if self._seconds - self._seconds_shown >= _INTERIM_SECONDS:
                    self._show(stt.SpeechEventType.INTERIM_TRANSCRIPT)
            case "pause":
                await self._hear(window)
                self._show(stt.SpeechEventType.PREFLIGHT_TRANSCRIPT)
            case "rests":
                self._before = window
                await self._settle()
                if self._settled != self._shown:  # else the early answer is to these very words
                    self._show(stt.SpeechEventType.PREFLIGHT_TRANSCRIPT)
            case "over":
                await self.finish()

    async def _hear(self, pcm: bytes) -> None:
        self._unsettled = await self._engine.ask(self._ear, self._ear.hear, pcm)
        self._seconds += len(pcm) / 2 / RATE

    async def _settle(self) -> None:
        words, sure = await self._engine.ask(self._ear, self._ear.settle)
        self._settled, self._unsettled = f"{self._settled} {words}".strip(), ""
        self._sure += sure

    def _show(self, kind: stt.SpeechEventType) -> None:
        """An interim transcript only when it is news: after a preflight it would call it stale."""
        self._seconds_shown = self._seconds
        words = f"{self._settled} {self._unsettled}".strip()
        is_news = words != self._shown or kind is stt.SpeechEventType.PREFLIGHT_TRANSCRIPT
        if words and is_news:
            self._shown = words
            self._send(_transcript(kind, words))


def _transcript(
    kind: stt.SpeechEventType, words: str, sure: Sequence[float] = ()
) -> stt.SpeechEvent:
    """`sure`: how sure the decoder is of each word."""
    confidence = min(1.0, sum(sure) / len(sure)) if sure else 0.0
    data = stt.SpeechData(language=_LANGUAGE, text=words, confidence=confidence)
    return stt.SpeechEvent(kind, request_id=shortuuid(), alternatives=[data])
