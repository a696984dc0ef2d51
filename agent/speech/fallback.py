"""Has another TTS engine speak when one fails, also in the middle of a text."""

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectOptions
from livekit.agents.tts import (
    TTS,
    FallbackAdapter,
    FallbackChunkedStream,
    FallbackSynthesizeStream,
    SynthesizedAudio,
)
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

from agent.speech.voice import ProcessTTS

_USUAL_PACE = 15.0
"""Characters that a voice speaks in a second, until its own texts show another pace."""
_SYLLABLES_PACE = 5.0
"""The same of Chinese, Japanese and Korean, where a sign is a syllable or a word."""
_SYLLABLES = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
"""A word; each sign of the scripts without spaces counts as one: those of Thailand, Laos, Burma,
Cambodia, Japan and China."""


@dataclass(slots=True)
class Pace:
    """How fast a voice speaks, by the texts that it has spoken to their ends."""

    characters: int = 0
    seconds: float = 0.0

    def spoke(self, text: str, seconds: float) -> None:
        self.characters += len(text)
        self.seconds += seconds

    def left_of(self, text: str, seconds: float) -> str:
        """Returns what is left of a text after so many seconds of its sound.

        It begins with the word that was cut off.
        """
        usual = _SYLLABLES_PACE if _SYLLABLES.search(text) else _USUAL_PACE
        pace = self.characters / self.seconds if self.seconds else usual
        reached = round(seconds * pace)
        words = (word for word in _WORD.finditer(text) if word.end() > reached)
        cut_off = next(words, None)
        return text[cut_off.start() :] if cut_off else ""


class TTSFallback(FallbackAdapter):
    """Tries several engines, best first: when one fails, the next speaks. It owns them.

    Each engine gets a single attempt of `timeout` seconds: the caller would hear silence through a
    retry, while the next engine is ready at once.
    """

    def __init__(self, engines: list[TTS[Any]], timeout: float) -> None:
        super().__init__(engines, max_retry_per_tts=0)
        self._timeout = timeout
        self.paces = {engine: Pace() for engine in engines}

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> FallbackChunkedStream:
        limited = self._within_timeout(conn_options)
        return _WholeText(tts=self, input_text=text, conn_options=limited)

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> FallbackSynthesizeStream:
        return super().stream(conn_options=self._within_timeout(conn_options))

    def after(self, failed: TTS[Any]) -> TTS[Any] | None:
        """Returns the engine that speaks when this one fails."""
        engines = self._tts_instances
        return next(iter(engines[engines.index(failed) + 1 :]), None)

    def _within_timeout(self, conn_options: APIConnectOptions) -> APIConnectOptions:
        return replace(conn_options, timeout=min(self._timeout, conn_options.timeout))

    async def aclose(self) -> None:
        await super().aclose()
        for engine in self._tts_instances:
            await engine.aclose()


class _WholeText(FallbackChunkedStream):
    """Speaks one text to its end.

    LiveKit's own stream leaves out the rest of a text whose engine fails after its first sound.
    """

    _fallback_adapter: TTSFallback

    async def _try_synthesize(
        self, *, tts: TTS[Any], recovering: bool = False
    ) -> AsyncGenerator[SynthesizedAudio, None]:
        pace, seconds = self._fallback_adapter.paces[tts], 0.0
        try:
            async for audio in super()._try_synthesize(tts=tts, recovering=recovering):
                seconds += audio.frame.duration
                yield audio
        except Exception:
            spare = self._fallback_adapter.after(tts)
            if recovering or not seconds or spare is None:
                raise
            self._set_available(tts, is_available=isinstance(tts, ProcessTTS))
            rest = pace.left_of(self._input_text, seconds)
        else:
            pace.spoke(self._input_text, seconds)
            return
        async for audio in self._rest(rest, spare, tts.sample_rate):
            yield audio

    async def _rest(
        self, text: str, spare: TTS[Any], rate: int
    ) -> AsyncGenerator[SynthesizedAudio, None]:
        """Yields the sound of the rest of the text, at the rate of the engine that failed."""
        if not any(map(str.isalnum, text)):
            return
        resampler = rtc.AudioResampler(spare.sample_rate, rate)
        once = replace(self._conn_options, max_retry=0)
        async with spare.synthesize(text, conn_options=once) as speech:
            async for audio in speech:
                for frame in resampler.push(audio.frame):
                    yield replace(audio, frame=frame)
            for frame in resampler.flush():
                yield replace(audio, frame=frame)

    def _try_recovery(self, tts: TTS[Any]) -> None:
        """Leaves out LiveKit's trial of an engine that failed for one of the speech process.

        The trial speaks the whole text once more, beside the spare: where the process was late
        because the machine is busy, that makes it later for all calls. Its client knows at no cost
        whether it answers again, so the next text is asked of it at once.
        """
        if isinstance(tts, ProcessTTS):
            self._set_available(tts, is_available=True)
        else:
            super()._try_recovery(tts)

    def _set_available(self, engine: TTS[Any], *, is_available: bool) -> None:
        adapter = self._fallback_adapter
        status = adapter._status[adapter._tts_instances.index(engine)]  # noqa: SLF001  LiveKit's own
        status.available = is_available
