"""Transcribes with any server that has OpenAI's `/audio/transcriptions`.

OpenAI, speaches, vLLM and whisper.cpp have it.
"""

import asyncio
from collections.abc import Mapping

from livekit.agents import APIConnectOptions, APITimeoutError, stt
from livekit.agents.types import NOT_GIVEN, NotGivenOr
from livekit.agents.utils import AudioBuffer
from livekit.plugins import openai

from agent.speech.openai_client import audio_client
from agent.speech.stt import STTEngine, STTOptions
from llm_router.errors import ConfigurationError

_MODEL = "gpt-4o-mini-transcribe"
_TELL_LANGUAGES = ("whisper-1", "gpt-transcribe")
"""Models that report the language of a transcript, as LiveKit's plugin asks them."""


def create(options: STTOptions) -> STTEngine:
    """Makes the engine. Raises ConfigurationError if neither a key nor a `base_url` is given."""
    if not options.api_key and not options.base_url:
        raise ConfigurationError(
            "STT engine 'openai' needs STT_API_KEY, or STT_BASE_URL with the address of a server"
        )
    return _TimedSTT(
        model=options.model or _MODEL,
        language=options.language,
        detect_language=bool(options.others),
        client=audio_client(options),
        use_realtime=False,
    )


def missing_languages(options: STTOptions) -> Mapping[str, str]:
    """Returns all others if the model does not report the language of a transcript."""
    model = options.model or _MODEL
    if model in _TELL_LANGUAGES:
        return {}
    able = " or ".join(_TELL_LANGUAGES)
    reason = f"{model} does not report which language it is: choose {able} with STT_MODEL"
    return dict.fromkeys(options.others, reason)


class _TimedSTT(openai.STT):
    """LiveKit's plugin, which keeps to its timeout and closes its client.

    By itself the plugin applies `conn_options.timeout` to connecting only, and then waits 30 s for
    the transcript.
    """

    async def _recognize_impl(
        self,
        buffer: AudioBuffer,
        *,
        language: NotGivenOr[str | list[str]] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> stt.SpeechEvent:
        try:
            async with asyncio.timeout(conn_options.timeout):
                return await super()._recognize_impl(
                    buffer, language=language, conn_options=conn_options
                )
        except TimeoutError:
            raise APITimeoutError(f"no transcript within {conn_options.timeout:g} s") from None

    async def aclose(self) -> None:
        await super().aclose()
        await self._client.close()
