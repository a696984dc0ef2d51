"""Holds what TTS engines share: their options, and how they become streams with a fallback."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from livekit.agents import APIConnectOptions, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

from agent.speech.engine import EngineOptions
from agent.speech.fallback import TTSFallback
from agent.speech.splitter import TextSplitter
from agent.speech.voice import ProcessTTS, begin_reply
from llm_router.errors import ConfigurationError

TTSEngine = tts.TTS[Any]
SLOWEST, FASTEST = 0.5, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TTSOptions(EngineOptions):
    """Options of a TTS engine; `language` is that of the words to speak."""

    kind: ClassVar[Literal["STT", "TTS"]] = "TTS"
    voice: str = ""
    """Name of the voice; empty: the engine's default for the language."""
    speed: float = 1.0
    """Speed of the words: 0.5 to 2, where 1 is the voice's own."""

    def __post_init__(self) -> None:
        EngineOptions.__post_init__(self)
        if not SLOWEST <= self.speed <= FASTEST:
            raise ConfigurationError(f"TTS: speed must be between {SLOWEST} and {FASTEST}")


class CreateTTS(Protocol):
    """The type of each engine module's `create`; as for STT, it runs where no event loop does."""

    def __call__(self, options: TTSOptions) -> TTSEngine: ...


class StreamingTTS(tts.StreamAdapter):
    """Streams with an engine that takes whole texts, and owns that engine.

    `at_clauses`: the engine runs on this machine, and speaks from the first clause on.
    """

    def __init__(self, engine: TTSEngine, *, at_clauses: bool) -> None:
        super().__init__(tts=engine, sentence_tokenizer=TextSplitter(at_clauses=at_clauses))
        self.speaks_here = at_clauses

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> "_ReplyStream":
        return _ReplyStream(tts=self, conn_options=conn_options)

    async def aclose(self) -> None:
        await super().aclose()
        await self._wrapped_tts.aclose()


class _ReplyStream(tts.StreamAdapterWrapper):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        begin_reply()
        await super()._run(output_emitter)


def speaks_here(engine: TTSEngine) -> bool:
    """Returns whether the engine runs on this machine, so that a text costs nothing but work."""
    return bool(getattr(engine, "speaks_here", False))


def as_stream(engine: TTSEngine, spare: TTSEngine | None, timeout: float) -> TTSEngine:
    """Makes the engine a stream that speaks from its first sentence on, with a spare as fallback.

    A voice of the speech process speaks from its first clause on: no request travels far for it.

    For an engine that takes whole texts, the spare speaks each sentence that the engine fails on,
    so a reply is finished even if the engine fails in the middle. For an engine that streams,
    LiveKit moves a reply to the spare only while none of it has been played.
    """
    if not engine.capabilities.streaming:
        speaker = engine if spare is None else TTSFallback([engine, spare], timeout)
        return StreamingTTS(speaker, at_clauses=isinstance(engine, ProcessTTS))
    if spare is None:
        return engine
    return TTSFallback([engine, StreamingTTS(spare, at_clauses=True)], timeout)
