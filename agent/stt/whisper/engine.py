"""Implements LiveKit's STT with a whisper model in the speech process."""

import asyncio
import logging
import weakref
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import APIConnectOptions, stt
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
from agent.stt.whisper.spoken_language import SpokenLanguage
from agent.stt.whisper.transcriber import Transcriber
from agent.stt.whisper.utterance import Utterance, cut_in_pieces, join, mean_probability
from llm_router.clock import SystemClock
from llm_router.errors import ConfigurationError

_log = logging.getLogger(__name__)


def create(options: STTOptions) -> "WhisperSTT":
    """Makes the engine.

    Raises ConfigurationError if there is no whisper model, or none that knows the language.
    """
    folder = _found(options)
    codes, missing = _codes(folder, options)
    for language, reason in missing.items():
        _log.warning("callers cannot change to %r: %s", language, reason)
    return WhisperSTT(_name(folder), codes, options, name=folder.name)


def missing_languages(options: STTOptions) -> Mapping[str, str]:
    """Returns the languages that the model does not know. Raises ConfigurationError as `create`."""
    return _codes(_found(options), options)[1]


def speech_model(options: STTOptions) -> str:
    """Names the whisper model for the speech process.

    Raises ConfigurationError if there is none, or none that knows the language, or if the packages
    that run it are missing.
    """
    if not find_spec("faster_whisper"):
        raise ConfigurationError("STT engine 'whisper' needs faster-whisper: run make setup")
    return _name(_found(options))


def _found(options: STTOptions) -> Path:
    """Returns the folder of the model, which knows the language."""
    folder = find_whisper(options.model, options.language, options.models_folder, options.others)
    check_whisper(folder, options.language)
    return folder


def _codes(folder: Path, options: STTOptions) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Returns the languages that the model knows, by whisper's codes of them; the first is the
    call's. And those that it does not know, with the reason.
    """
    codes, missing = {check_whisper(folder, options.language): options.language}, dict[str, str]()
    for other in options.others:
        try:
            codes.setdefault(check_whisper(folder, other), other)
        except ConfigurationError as reason:
            missing[other] = str(reason)
    return codes, missing


def _name(folder: Path) -> str:
    return f"whisper:{folder}"


class WhisperSTT(stt.STT[Any]):
    """Streaming STT; the words are final a moment after the stream is flushed.

    The model runs in the worker's speech process, where all calls share it, or, without a worker,
    in a process of the engine's own, which `aclose` ends.
    """

    def __init__(
        self, model: str, codes: Mapping[str, str], options: STTOptions, *, name: str
    ) -> None:
        """`model`: its name in the speech process; `codes`: the languages by whisper's codes, the
        first one is the call's; `name`: for logs.
        """
        super().__init__(
            capabilities=stt.STTCapabilities(
                streaming=True, interim_results=True, manual_flush=True
            )
        )
        self.codes = codes
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
        spoken = SpokenLanguage(self.codes)
        for begin, end in pairwise(cut_in_pieces(speech)):
            decoded = await self.client.transcribe(
                samples[begin * VAD_WINDOW_SAMPLES : end * VAD_WINDOW_SAMPLES],
                language=spoken.code,
                before=join(words[-Utterance.CONTEXT :], spoken.code),
                among=() if words else spoken.choice,
                timeout=self.timeout,
            )
            spoken.take(decoded.language)
            words += spoken_words(decoded, speech[begin:end])
        data = stt.SpeechData(
            language=spoken.tag,
            text=join(words, spoken.code),
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
                spoken=SpokenLanguage(engine.codes),
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
