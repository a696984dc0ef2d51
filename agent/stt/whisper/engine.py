"""Implements LiveKit's STT with a whisper model in the speech process."""

import asyncio
import weakref
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import APIConnectOptions, LanguageCode, stt
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr
from livekit.agents.utils import AudioBuffer, shortuuid
from livekit.local_inference import VAD, VAD_WINDOW_SAMPLES
from numpy.typing import NDArray

from agent.speech.hallucination import spoken_words
from agent.speech.models import find_whisper
from agent.speech.process.client import SpeechClient
from agent.speech.process.models import Word
from agent.speech.samples import RATE, to_samples
from agent.speech.stt import STTOptions
from agent.speech.whisper_folder import check_whisper
from agent.stt.whisper.transcriber import Transcriber
from agent.stt.whisper.utterance import Utterance, cut_in_pieces, join, mean_probability
from llm_router.clock import SystemClock
from llm_router.errors import ConfigurationError


def create(options: STTOptions) -> "WhisperSTT":
    """Makes the engine.

    Raises ConfigurationError if there is no whisper model, or none that knows the language.
    """
    folder, code = _found(options)
    return WhisperSTT(_name(folder), code, options, name=folder.name)


def speech_model(options: STTOptions) -> str:
    """Names the whisper model for the speech process.

    Raises ConfigurationError if there is none, or none that knows the language, or if the packages
    that run it are missing.
    """
    if not find_spec("faster_whisper"):
        raise ConfigurationError("STT engine 'whisper' needs faster-whisper: run make setup")
    folder, _ = _found(options)
    return _name(folder)


def _found(options: STTOptions) -> tuple[Path, str]:
    """Returns the folder of the model, and whisper's code of the language."""
    folder = find_whisper(options.model, options.language, options.models_folder)
    return folder, check_whisper(folder, options.language)


def _name(folder: Path) -> str:
    return f"whisper:{folder}"


class WhisperSTT(stt.STT[Any]):
    """Streaming STT; the words are final a moment after the stream is flushed.

    The model runs in the worker's speech process, where all calls share it, or, without a worker,
    in a process of the engine's own, which `aclose` ends.
    """

    def __init__(self, model: str, language: str, options: STTOptions, *, name: str) -> None:
        """`model`: its name in the speech process; `language`: whisper's code; `name`: for logs."""
        super().__init__(
            capabilities=stt.STTCapabilities(
                streaming=True, interim_results=True, manual_flush=True
            )
        )
        self.language = language
        self.tag = options.language
        self.timeout = options.timeout
        self.client = SpeechClient(model)
        self._name = name
        self._warming: asyncio.Task[None] | None = None
        self._streams: weakref.WeakSet[_Stream] = weakref.WeakSet()

    @property
    def model(self) -> str:
        return self._name

    @property
    def provider(self) -> str:
        return "whisper"

    def prewarm(self) -> None:
        """Starts the engine's own speech process, where there is no worker's."""
        if self._warming is None:
            self._warming = asyncio.ensure_future(self.client.start())

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,  # noqa: ARG002  the call has one language
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> "_Stream":
        stream = _Stream(self, conn_options)
        self._streams.add(stream)
        return stream

    async def _recognize_impl(
        self,
        buffer: AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,  # noqa: ARG002  the call has one language
        conn_options: APIConnectOptions,  # noqa: ARG002  the process is on this machine
    ) -> stt.SpeechEvent:
        frame = rtc.combine_audio_frames(buffer)
        samples, speech = await asyncio.to_thread(_detected, frame)
        words: list[Word] = []
        for begin, end in pairwise(cut_in_pieces(speech)):
            decoded = await self.client.transcribe(
                samples[begin * VAD_WINDOW_SAMPLES : end * VAD_WINDOW_SAMPLES],
                language=self.language,
                before=join(words[-Utterance.CONTEXT :], self.language),
                timeout=self.timeout,
            )
            words += spoken_words(decoded, speech[begin:end])
        data = stt.SpeechData(
            language=LanguageCode(self.tag),
            text=join(words, self.language),
            confidence=mean_probability(words),
        )
        kind = stt.SpeechEventType.FINAL_TRANSCRIPT
        return stt.SpeechEvent(kind, request_id=shortuuid(), alternatives=[data])

    async def aclose(self) -> None:
        for stream in list(self._streams):
            await stream.aclose()
        if self._warming:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        await self.client.aclose()


def _detected(frame: rtc.AudioFrame) -> tuple[NDArray[np.int16], Sequence[float]]:
    """Returns whole windows of samples, and the probability of speech in each."""
    samples = np.frombuffer(to_samples(frame), np.int16)
    samples = np.pad(samples, (0, -len(samples) % VAD_WINDOW_SAMPLES))
    with VAD() as detector:
        windows = samples.reshape(-1, VAD_WINDOW_SAMPLES)
        return samples, [detector.predict(window) for window in windows]


class _Stream(stt.RecognizeStream):
    def __init__(self, engine: WhisperSTT, conn_options: APIConnectOptions) -> None:
        super().__init__(stt=engine, conn_options=conn_options, sample_rate=RATE)
        self._engine = engine

    async def _run(self) -> None:
        engine = self._engine
        await engine.client.start()
        with VAD() as detector:
            transcriber = Transcriber(
                engine.client,
                detector,
                self._event_ch.send_nowait,
                language=engine.language,
                tag=engine.tag,
                timeout=engine.timeout,
                clock=SystemClock(),
            )
            try:
                async for item in self._input_ch:
                    if isinstance(item, rtc.AudioFrame):
                        await transcriber.push(bytes(item.data))
                    else:  # a flush: the turn is over
                        await transcriber.finish()
                await transcriber.finish()
            finally:
                await transcriber.aclose()
