"""Holds what STT engines share: their options, streaming, and the fallback to another engine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from livekit.agents import APIConnectOptions, stt, vad
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr

from agent.speech.detector import voice_detector
from agent.speech.engine import EngineOptions
from agent.speech.failover import FailoverStream

STTEngine = stt.STT[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class STTOptions(EngineOptions):
    """Options of an STT engine; `language` is the caller's."""

    kind: ClassVar[Literal["STT", "TTS"]] = "STT"
    others: tuple[str, ...] = ()
    """Languages to which the caller may change. An engine that recognises them reports that of each
    transcript, one that cannot tell reports none: "". Empty: `language` is the only one."""

    @property
    def languages(self) -> tuple[str, ...]:
        return (self.language, *self.others)


class CreateSTT(Protocol):
    """The type of each engine module's `create`.

    It runs before the call, where no event loop does: it loads what is slow to load in this process
    and leaves the network to the engine's `prewarm`, which LiveKit calls in the loop of the call.
    """

    def __call__(self, options: STTOptions) -> STTEngine: ...


class NameMissing(Protocol):
    """The type of `missing_languages` of an engine that reports the language of a transcript.

    It returns those of the options' `others` that the engine does not report, each with the reason,
    and loads nothing. Raises ConfigurationError if the engine cannot work.
    """

    def __call__(self, options: STTOptions) -> Mapping[str, str]: ...


def all_missing(options: STTOptions) -> Mapping[str, str]:
    """Stands for `missing_languages` in engines that report no language."""
    return dict.fromkeys(options.others, "the STT engine does not report which language it is")


class StreamingSTT(stt.StreamAdapter):
    """Streams with an engine that takes whole utterances, and owns that engine."""

    def __init__(self, engine: STTEngine, detector: vad.VAD) -> None:
        super().__init__(stt=engine, vad=detector)
        self._recognize_metrics_needed = False  # the engine reports its own; twice would bill twice

    async def aclose(self) -> None:
        await super().aclose()
        await self.wrapped_stt.aclose()


class STTFallback(stt.FallbackAdapter):
    """Tries several engines, best first: when one fails, the next takes over. It owns them.

    Each engine gets a single attempt: the caller would wait through a retry, while the next engine
    is ready at once.
    """

    def __init__(self, engines: list[STTEngine], timeout: float) -> None:
        super().__init__(engines, attempt_timeout=timeout, max_retry_per_stt=0)

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        return FailoverStream(
            self,
            self._stt_instances,
            timeout=self._attempt_timeout,
            language=language,
            conn_options=conn_options,
        )

    async def aclose(self) -> None:
        await super().aclose()
        for engine in self._stt_instances:
            await engine.aclose()


def as_stream(engine: STTEngine, spare: STTEngine | None, timeout: float) -> STTEngine:
    """Makes the engine a stream, with the spare, which must stream by itself, as its fallback.

    For an engine that takes whole utterances no word is lost: the spare gets the same utterance
    that the engine failed on. For an engine that streams, the spare gets the utterance from its
    begin, up to 30 s. `timeout` is per attempt (s).
    """
    if engine.capabilities.streaming:
        return engine if spare is None else STTFallback([engine, spare], timeout)
    detector = voice_detector()
    streaming = StreamingSTT(engine, detector)
    if spare is None:
        return streaming
    return StreamingSTT(STTFallback([streaming, spare], timeout), detector)
