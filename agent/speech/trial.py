"""Tries one speech engine as a call would use it: a TTS speaks a word, an STT transcribes it."""

import asyncio
from collections.abc import Iterator

from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, APITimeoutError
from livekit.agents.stt import SpeechEventType

from agent.speech.engine import EngineOptions, without_secrets
from agent.speech.process.client import SpeechAwayError, SpeechLateError
from agent.speech.stt import STTEngine, STTOptions
from agent.speech.tts import TTSEngine, TTSOptions
from llm_router.errors import UnreachableError

_WORD = "Hello."
_UNAUTHORIZED = {401, 403}


class EngineFailedError(Exception):
    """A speech engine has failed. The message says why, and which setting to check."""


async def speak(engine: TTSEngine, options: TTSOptions, within: float) -> list[rtc.AudioFrame]:
    """Speaks a word within so many seconds, closes the engine, and returns the sound.

    Call it in LiveKit's `http_context`. Raises EngineFailedError.
    """
    try:
        async with asyncio.timeout(within):
            engine.prewarm()
            async with engine.stream(conn_options=_once(within)) as stream:
                stream.push_text(_WORD)
                stream.end_input()
                sound = [audio.frame async for audio in stream]
    except Exception as error:  # a plugin may raise anything, its bugs included
        raise EngineFailedError(explain(error, options)) from error
    finally:
        await engine.aclose()
    if not sound:
        raise EngineFailedError("it gave no sound; check TTS_MODEL and TTS_VOICE")
    return sound


async def transcribe(
    engine: STTEngine, options: STTOptions, sound: list[rtc.AudioFrame], within: float
) -> str:
    """Transcribes the sound within so many seconds, closes the engine, and returns the words.

    Call it in LiveKit's `http_context`. Raises EngineFailedError.
    """
    try:
        async with asyncio.timeout(within):
            engine.prewarm()
            async with engine.stream(conn_options=_once(within)) as stream:
                for frame in sound:
                    stream.push_frame(frame)
                rate = sound[-1].sample_rate if sound else 16_000
                # A pause, so that the engine knows that the word has ended.
                stream.push_frame(rtc.AudioFrame(bytes(2 * rate), rate, 1, rate))
                stream.end_input()
                final = SpeechEventType.FINAL_TRANSCRIPT
                return " ".join([e.alternatives[0].text async for e in stream if e.type == final])
    except Exception as error:  # a plugin may raise anything, its bugs included
        raise EngineFailedError(explain(error, options)) from error
    finally:
        await engine.aclose()


def _once(within: float) -> APIConnectOptions:
    return APIConnectOptions(max_retry=0, timeout=within)


def explain(error: Exception, options: EngineOptions) -> str:
    """Explains a failure by the status or the network error behind it, in one sentence."""
    kind = options.kind
    causes = [*_chain(error)]
    status = next(filter(None, map(_status, causes)), None)
    own = ", or the vendor's own variable" if options.plugin else ""
    if status in _UNAUTHORIZED:
        return f"its server refuses the key ({status}); check {kind}_API_KEY{own}"
    for cause in causes:
        if isinstance(cause, UnreachableError):  # of a proxy or certificates: it names the variable
            return f"{cause}; {cause.cure}"
        if isinstance(cause, SpeechAwayError | SpeechLateError):  # of this machine: no network
            return without_secrets(cause.message, options)
    address = f"{kind}_BASE_URL" if options.base_url else "this machine's network"
    if any(isinstance(cause, TimeoutError | APITimeoutError) for cause in causes):
        return f"its server gave nothing in time; check that it works, and {address}"
    is_network = any(isinstance(cause, OSError) for cause in causes)
    if status is None and (is_network or isinstance(causes[-1], APIConnectionError)):
        return f"its server cannot be reached; check that it runs, and {address}"
    message = without_secrets(str(getattr(error, "message", "") or error), options)
    return (
        f"{message or type(error).__name__}; check that its server works, and the {kind}_ settings"
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yields the error and its causes, without the end of LiveKit's stream that reported it."""
    following: BaseException | None = error
    while following:
        if following is error or not isinstance(following, StopAsyncIteration):
            yield following
        following = following.__cause__ or following.__context__


def _status(error: BaseException) -> int | None:
    """Returns the HTTP status that an error of an HTTP library or of LiveKit holds."""
    found = getattr(error, "status_code", None) or getattr(error, "status", None)
    return found if isinstance(found, int) and found > 0 else None
