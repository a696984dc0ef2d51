"""Rehearses a call's speech before the first call: is there a voice, and does it hear?"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from livekit import rtc
from livekit.agents.utils import http_context

from agent import stt, tts
from agent.speech import trial
from agent.speech.stt import STTOptions
from agent.speech.trial import EngineFailedError
from agent.speech.tts import TTSOptions
from llm_router.errors import ConfigurationError, UnreachableError
from llm_router.net.environment import tls_context

_log = logging.getLogger("agent")
_WITHIN = 10.0
"""Seconds for one engine."""


@asynccontextmanager
async def http_session(proxy: str | None) -> AsyncIterator[None]:
    """Opens the HTTP session that plugins find during the block, with the proxy that calls use.

    Raises ConfigurationError if the environment names certificates that cannot be used: LiveKit
    needs them for every session, and its own error names no variable.
    """
    try:
        tls_context()
    except UnreachableError as error:
        raise ConfigurationError(f"{error}; {error.cure}") from error
    async with http_context.open() as session:
        session._default_proxy = proxy  # noqa: SLF001  `open` takes none
        yield


async def rehearse(
    tts_engine: str,
    speaking: TTSOptions,
    stt_engine: str,
    listening: STTOptions,
    proxy: str | None,
) -> None:
    """Lets the TTS engine speak a word and the STT engine transcribe it.

    Where one fails, logs the reason and tries it again with its fallback, as a call has it. Raises
    ConfigurationError if no sound can be made.
    """
    async with http_session(proxy):
        sound = await _speak(tts_engine, speaking)
        await _listen(stt_engine, listening, sound)


async def _speak(name: str, options: TTSOptions) -> list[rtc.AudioFrame]:
    try:
        return await trial.speak(tts.load(name, options, fallback=False), options, _WITHIN)
    except EngineFailedError as reason:
        _log.warning("TTS engine %r fails, and calls have its fallback's voice: %s", name, reason)
    try:
        return await trial.speak(tts.load(name, options), options, _WITHIN)
    except EngineFailedError as reason:
        raise ConfigurationError(f"TTS engine {name!r} makes no sound: {reason}") from reason


async def _listen(name: str, options: STTOptions, sound: list[rtc.AudioFrame]) -> None:
    try:
        await trial.transcribe(stt.load(name, options, fallback=False), options, sound, _WITHIN)
    except EngineFailedError as reason:
        _log.warning("STT engine %r fails, and its fallback hears the caller: %s", name, reason)
    else:
        return
    try:
        await trial.transcribe(stt.load(name, options), options, sound, _WITHIN)
    except EngineFailedError as reason:
        _log.error("STT engine %r and its fallback hear nothing: %s", name, reason)
