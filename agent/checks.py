"""What `llm-router doctor` looks at of the agent: LiveKit, its voice and its ears.

The voice says a word, and the ears listen to it: both are used as in a call, with no spare behind
them. What the ears make of a synthetic voice is not judged.
"""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

from livekit import rtc
from livekit.agents import APIConnectOptions, APIError
from livekit.agents.stt import SpeechEventType

from agent import stt, tts
from agent.job import stt_options, tts_options
from agent.livekit_server import LiveKitError, LiveKitServer
from agent.speech.stt import STTEngine
from config.settings import Settings, SettingsError, load_settings
from llm_router.cli.check import Finding
from llm_router.errors import ConfigurationError

_WORD = "Hello."
_WITHIN = 60.0
"""Seconds for one engine: the first use of a model takes its time."""
_ONCE = APIConnectOptions(max_retry=0, timeout=10.0)


async def check() -> AsyncIterator[Finding]:
    try:
        settings = load_settings()
    except SettingsError as error:
        yield Finding("agent", "fault", "; ".join(str(error).splitlines()))
        return
    yield await _livekit(settings)
    sound: list[rtc.AudioFrame] = []
    yield await _voice(settings, sound)
    yield await _ears(settings, sound)


async def _livekit(settings: Settings) -> Finding:
    secret = settings.livekit_api_secret.get_secret_value()
    server = LiveKitServer(settings.livekit_url, settings.livekit_api_key, secret)
    try:
        async with server:
            await server.check()
    except LiveKitError as error:
        return Finding("LiveKit", "fault", f"{settings.livekit_url}: {error}")
    return Finding("LiveKit", "ok", f"{settings.livekit_url} answers and accepts the keys")


async def _voice(settings: Settings, sound: list[rtc.AudioFrame]) -> Finding:
    what, started = f"voice {settings.tts_engine}", monotonic()
    try:
        engine = tts.load(settings.tts_engine, tts_options(settings), fallback=False)
    except ConfigurationError as error:
        return Finding(what, "fault", f"{error}; see TTS_ENGINE")
    try:
        async with asyncio.timeout(_WITHIN):
            async with engine.synthesize(_WORD, conn_options=_ONCE) as stream:
                sound.extend([audio.frame async for audio in stream])
    except (APIError, TimeoutError) as error:
        return Finding(what, "fault", _failed(error, "TTS_"))
    finally:
        await engine.aclose()
    seconds = sum(frame.duration for frame in sound)
    if not seconds:
        return Finding(what, "fault", "it gave no sound; check TTS_MODEL and TTS_VOICE")
    return Finding(what, "ok", f"{seconds:.1f} s of speech after {monotonic() - started:.2f} s")


async def _ears(settings: Settings, sound: list[rtc.AudioFrame]) -> Finding:
    what = f"ears {settings.stt_engine}"
    try:
        engine = stt.load(settings.stt_engine, stt_options(settings), fallback=False)
    except ConfigurationError as error:
        return Finding(what, "fault", f"{error}; see STT_ENGINE")
    heard: list[str] = []
    try:
        async with asyncio.timeout(_WITHIN):
            await _listen(engine, sound, heard)
    except (APIError, TimeoutError) as error:
        return Finding(what, "fault", _failed(error, "STT_"))
    finally:
        await engine.aclose()
    return Finding(what, "ok", f"heard {' '.join(heard)!r}" if heard else "listened")


async def _listen(engine: STTEngine, sound: list[rtc.AudioFrame], heard: list[str]) -> None:
    async with engine.stream(conn_options=_ONCE) as stream:
        for frame in sound:
            stream.push_frame(frame)
        rate = sound[-1].sample_rate if sound else 16_000
        # A pause, so that the word is known to be over.
        stream.push_frame(rtc.AudioFrame(bytes(2 * rate), rate, 1, rate))
        stream.end_input()
        final = SpeechEventType.FINAL_TRANSCRIPT
        heard.extend([e.alternatives[0].text async for e in stream if e.type == final])


def _failed(error: Exception, settings: str) -> str:
    said = str(error).partition("\n")[0] or type(error).__name__
    return f"{said}; check that its server runs, and the {settings}... settings"
