"""What the engines share: their options, and how one stands in for another."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from livekit.agents import inference, stt, vad

from agent.engines import EngineOptions

Engine = stt.STT[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class STTOptions(EngineOptions):
    """`language` is the caller's."""

    kind: ClassVar[Literal["STT", "TTS"]] = "STT"


class CreateEngine(Protocol):
    """The type of each engine module's `create`."""

    def __call__(self, options: STTOptions) -> Engine: ...


class Utterances(stt.StreamAdapter):
    """A stream out of an engine that takes whole utterances. It owns the engine."""

    def __init__(self, engine: Engine, detector: vad.VAD) -> None:
        super().__init__(stt=engine, vad=detector)
        self._recognize_metrics_needed = False  # the engine reports its own; twice would bill twice

    async def aclose(self) -> None:
        await super().aclose()
        await self.wrapped_stt.aclose()


class Fallback(stt.FallbackAdapter):
    """Engines, best first; when one fails the next is asked. It owns them.

    Each gets a single attempt: the caller waits through a retry, and the next is there at once.
    """

    def __init__(self, engines: list[Engine], timeout: float) -> None:
        super().__init__(engines, attempt_timeout=timeout, max_retry_per_stt=0)

    def prewarm(self) -> None:
        """All of them: the moment of a failure is the wrong one to load a model."""
        for engine in self._stt_instances:
            engine.prewarm()

    async def aclose(self) -> None:
        await super().aclose()
        for engine in self._stt_instances:
            await engine.aclose()


def as_stream(engine: Engine, spare: Engine | None, timeout: float) -> Engine:
    """The engine as a stream, with the (streaming) spare behind it.

    Where the engine takes whole utterances, the spare gets the very utterance that it failed on,
    so no word is lost. Where it streams, LiveKit moves the stream over and what was said up to the
    failure went with it.
    """
    if engine.capabilities.streaming:
        return engine if spare is None else Fallback([engine, spare], timeout)
    detector = inference.VAD()
    utterances = Utterances(engine, detector)
    if spare is None:
        return utterances
    return Utterances(Fallback([utterances, spare], timeout), detector)
