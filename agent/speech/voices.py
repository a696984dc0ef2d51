"""Speaks in the voice of the caller's language, which may change in the middle of a call."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from livekit.agents import APIConnectOptions, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

from agent.speech.tts import TTSEngine, speaks_here
from llm_router.errors import ConfigurationError

_log = logging.getLogger(__name__)


async def add_voices(voices: "Voices", loads: Mapping[str, Callable[[], TTSEngine]]) -> None:
    """Loads voices in another thread, by language. One that cannot work is logged and left out."""
    for language, load in loads.items():
        try:
            voices.add(language, await asyncio.to_thread(load))
        except ConfigurationError as error:
            _log.error("callers cannot change to %r: %s", language, error)
        except Exception as error:  # noqa: BLE001  a vendor's own: the call goes on without it
            kind = type(error).__name__
            _log.error("callers cannot change to %r: its voice raised %s", language, kind)


class Voices(tts.TTS[Any]):
    """A voice for each language; new speech is in that of `language`. It owns the voices.

    LiveKit takes sound at any rate, one rate for each speech: no speech changes its voice.
    """

    def __init__(self, language: str, voice: TTSEngine) -> None:
        """`voice` must stream; it stands for languages that have none."""
        super().__init__(
            capabilities=voice.capabilities,
            sample_rate=voice.sample_rate,
            num_channels=voice.num_channels,
        )
        self.language = language
        self.speaks_here = speaks_here(voice)
        self._usual = voice
        self._voices: dict[str, TTSEngine] = {}
        self.add(language, voice)

    def add(self, language: str, voice: TTSEngine) -> None:
        """Takes another voice, which streams as well."""
        self._voices[language] = voice
        voice.on("metrics_collected", self._on_metrics)
        voice.on("error", self._on_error)

    @property
    def languages(self) -> Collection[str]:
        return self._voices.keys()

    @property
    def model(self) -> str:
        return self._voice.model

    @property
    def provider(self) -> str:
        return self._voice.provider

    def prewarm(self) -> None:
        self._voice.prewarm()

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return self._voice.synthesize(text, conn_options=conn_options)

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.SynthesizeStream:
        return self._voice.stream(conn_options=conn_options)

    async def aclose(self) -> None:
        for voice in self._voices.values():
            voice.off("metrics_collected", self._on_metrics)
            voice.off("error", self._on_error)
            await voice.aclose()

    @property
    def _voice(self) -> TTSEngine:
        return self._voices.get(self.language, self._usual)

    def _on_metrics(self, *args: Any, **kwargs: Any) -> None:
        self.emit("metrics_collected", *args, **kwargs)

    def _on_error(self, *args: Any, **kwargs: Any) -> None:
        self.emit("error", *args, **kwargs)
