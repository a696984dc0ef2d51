"""Checks the agent for `llm-router doctor`: LiveKit, the TTS engine and the STT engine.

The TTS engine speaks a word and the STT engine transcribes it, both as in a call but without a
fallback. A wrong transcript of a synthetic voice is no fault.
"""

import asyncio
from collections.abc import AsyncIterator

from livekit import rtc
from livekit.agents import APIConnectOptions, APIError
from livekit.agents.stt import SpeechEventType

from agent import stt, tts
from agent.job import stt_options, tts_options
from agent.livekit_server import LiveKitError, LiveKitServer
from agent.speech.stt import STTEngine
from config.settings import Settings, load_settings
from llm_router.cli.check import Finding
from llm_router.errors import ConfigurationError
from llm_router.settings.loading import SettingsError

_WORD = "Hello."
_TIMEOUT = 60.0
"""Seconds for one engine: the first use of a model may be slow."""
_ONCE = APIConnectOptions(max_retry=0, timeout=10.0)


async def check() -> AsyncIterator[Finding]:
    try:
        settings = load_settings()
    except SettingsError as error:
        yield Finding("agent", "fault", "; ".join(str(error).splitlines()))
        return
    yield await _check_livekit(settings)
    sound: list[rtc.AudioFrame] = []
    yield await _check_tts(settings, sound)
    yield await _check_stt(settings, sound)


async def _check_livekit(settings: Settings) -> Finding:
    secret = settings.livekit_api_secret.get_secret_value()
    server = LiveKitServer(settings.livekit_url, settings.livekit_api_key, secret)
    try:
        async with server:
            await server.check()
    except LiveKitError as error:
        return Finding("LiveKit", "fault", f"{settings.livekit_url}: {error}")
    return Finding("LiveKit", "ok", f"{settings.livekit_url} answers and accepts the keys")


async def _check_tts(settings: Settings, sound: list[rtc.AudioFrame]) -> Finding:
    """Speaks a word, and appends its frames to `sound`."""
    name = f"TTS {settings.tts_engine}"
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        engine = tts.load(settings.tts_engine, tts_options(settings), fallback=False)
    except ConfigurationError as error:
        return Finding(name, "fault", f"{error}; see TTS_ENGINE")
    try:
        async with asyncio.timeout(_TIMEOUT):
            async with engine.synthesize(_WORD, conn_options=_ONCE) as stream:
                sound.extend([audio.frame async for audio in stream])
    except (APIError, TimeoutError) as error:
        return Finding(name, "fault", _describe(error, "TTS_"))
    finally:
        await engine.aclose()
    seconds = sum(frame.duration for frame in sound)
    if not seconds:
        return Finding(name, "fault", "it gave no sound; check TTS_MODEL and TTS_VOICE")
    return Finding(name, "ok", f"{seconds:.1f} s of speech after {loop.time() - started:.2f} s")


async def _check_stt(settings: Settings, sound: list[rtc.AudioFrame]) -> Finding:
    name = f"STT {settings.stt_engine}"
    try:
        engine = stt.load(settings.stt_engine, stt_options(settings), fallback=False)
    except ConfigurationError as error:
        return Finding(name, "fault", f"{error}; see STT_ENGINE")
    try:
        async with asyncio.timeout(_TIMEOUT):
            transcript = await _transcribe(engine, sound)
    except (APIError, TimeoutError) as error:
        return Finding(name, "fault", _describe(error, "STT_"))
    finally:
        await engine.aclose()
    result = f"transcribed {transcript!r}" if transcript else "gave no words, and no error"
    return Finding(name, "ok", result)


async def _transcribe(engine: STTEngine, sound: list[rtc.AudioFrame]) -> str:
    async with engine.stream(conn_options=_ONCE) as stream:
        for frame in sound:
            stream.push_frame(frame)
        rate = sound[-1].sample_rate if sound else 16_000
        # A pause, so that the engine knows that the word has ended.
        stream.push_frame(rtc.AudioFrame(bytes(2 * rate), rate, 1, rate))
        stream.end_input()
        final = SpeechEventType.FINAL_TRANSCRIPT
        return " ".join([e.alternatives[0].text async for e in stream if e.type == final])


def _describe(error: Exception, settings: str) -> str:
    message = str(error).partition("\n")[0] or type(error).__name__
    return f"{message}; check that its server runs, and the {settings}... settings"
