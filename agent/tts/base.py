"""What the engines share: their options, where a text is cut, how one stands in for another."""

import re
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Protocol

from livekit.agents import APIConnectOptions, tts
from livekit.agents.tokenize import SentenceStream, SentenceTokenizer, TokenData
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

from agent.engines import EngineOptions

Engine = tts.TTS[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TTSOptions(EngineOptions):
    """`language` is that of the words to say."""

    kind: ClassVar[Literal["STT", "TTS"]] = "TTS"
    voice: str = ""
    """Empty: the engine's own choice for the language."""


class CreateEngine(Protocol):
    """The type of each engine module's `create`."""

    def __call__(self, options: TTSOptions) -> Engine: ...


# White space must follow, or "3.5" would be cut while it comes in; a point after a single letter, a
# number or a title ends an abbreviation or an ordinal ("p.m.", "3. Mai", "Dr. Who").
_POINT = r"(?<!\d)(?<!\b\w)(?<!\bDr)(?<!\bMr)(?<!\bMs)(?<!\bSt)(?<!\bMrs)\."
_SENTENCE_END = rf"(?:{_POINT}|[!?…])[\"'”’»)\]]*\s+|[。！？।]\s*|\n\s*"
_CLAUSE_END = rf"{_SENTENCE_END}|[,;:—–]\s+|[，、；：]\s*"


class Cutter(SentenceTokenizer):
    """Cuts a text where a voice can draw breath, as soon as the cut is certain.

    The pieces joined are the text. LiveKit's own sentence tokenizer holds back a sentence until 20
    letters are together and the next has begun: a caller would wait for "Sure.".
    """

    def __init__(self, *, at_clauses: bool) -> None:
        self._end = re.compile(_CLAUSE_END if at_clauses else _SENTENCE_END)

    def tokenize(self, text: str, *, language: str | None = None) -> list[str]:  # noqa: ARG002  one rule for all
        pieces, rest = self.cut(text)
        return [*pieces, rest] if rest else pieces

    def stream(self, *, language: str | None = None) -> SentenceStream:  # noqa: ARG002  one rule for all
        return _Pieces(self)

    def cut(self, text: str) -> tuple[list[str], str]:
        """The pieces that are whole, and the rest. A piece has something to say: "…" waits."""
        pieces: list[str] = []
        start = 0
        for end in self._end.finditer(text):
            piece = text[start : end.end()]
            if _can_be_said(piece):
                pieces.append(piece)
                start = end.end()
        return pieces, text[start:]


class _Pieces(SentenceStream):
    def __init__(self, cutter: Cutter) -> None:
        super().__init__()
        self._cutter = cutter
        self._rest = ""
        self._has_spoken = False

    def push_text(self, text: str) -> None:
        pieces, self._rest = self._cutter.cut(self._rest + text)
        for piece in pieces:
            self._give(piece)

    def flush(self) -> None:
        """A rest without words is left out, unless it is all there is: engines refuse it."""
        rest, self._rest = self._rest, ""
        if rest and (_can_be_said(rest) or not self._has_spoken):
            self._give(rest)

    def end_input(self) -> None:
        self.flush()
        self._do_close()

    async def aclose(self) -> None:
        self._do_close()

    def _give(self, piece: str) -> None:
        self._has_spoken = True
        self._event_ch.send_nowait(TokenData(token=piece))


def _can_be_said(text: str) -> bool:
    return any(character.isalnum() for character in text)


class Speaker(tts.StreamAdapter):
    """A stream out of an engine that takes whole texts. It owns the engine."""

    def __init__(self, engine: Engine, *, at_clauses: bool) -> None:
        super().__init__(tts=engine, sentence_tokenizer=Cutter(at_clauses=at_clauses))

    async def aclose(self) -> None:
        await super().aclose()
        await self._wrapped_tts.aclose()


class Fallback(tts.FallbackAdapter):
    """Engines, best first; when one fails the next speaks. It owns them.

    Each gets a single attempt of `timeout` seconds: the caller hears silence through a retry, and
    the next is there at once.
    """

    def __init__(self, engines: list[Engine], timeout: float) -> None:
        super().__init__(engines, max_retry_per_tts=0)
        self._timeout = timeout

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.FallbackChunkedStream:
        return super().synthesize(text, conn_options=self._hurried(conn_options))

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.FallbackSynthesizeStream:
        return super().stream(conn_options=self._hurried(conn_options))

    def _hurried(self, conn_options: APIConnectOptions) -> APIConnectOptions:
        return replace(conn_options, timeout=min(self._timeout, conn_options.timeout))

    async def aclose(self) -> None:
        await super().aclose()
        for engine in self._tts_instances:
            await engine.aclose()


def as_stream(engine: Engine, spare: Engine | None, timeout: float) -> Engine:
    """The engine as a stream that speaks from its first sentence on, with the spare behind it.

    Where the engine takes whole texts, each sentence that it fails on is spoken by the spare, and
    so a reply is finished whatever happens in its midst. Where it streams, LiveKit moves a reply
    over to the spare only as long as none of it was heard.
    """
    if not engine.capabilities.streaming:
        voice = engine if spare is None else Fallback([engine, spare], timeout)
        return Speaker(voice, at_clauses=False)
    if spare is None:
        return engine
    return Fallback([engine, Speaker(spare, at_clauses=True)], timeout)
