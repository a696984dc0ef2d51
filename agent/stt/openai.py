"""Any server that speaks OpenAI's `/audio/transcriptions`: OpenAI, speaches, vLLM, whisper.cpp."""

import asyncio

from livekit.agents import APIConnectOptions, APITimeoutError, stt
from livekit.agents.types import NOT_GIVEN, NotGivenOr
from livekit.agents.utils import AudioBuffer
from livekit.plugins import openai

from agent.stt.base import Engine, STTOptions
from llm_router.errors import ConfigurationError

_OPENAI = "https://api.openai.com/v1"
_MODEL = "gpt-4o-mini-transcribe"


def create(options: STTOptions) -> Engine:
    """Raises ConfigurationError without a key, unless `base_url` names a server of your own."""
    if not options.api_key and not options.base_url:
        raise ConfigurationError(
            "STT engine 'openai' needs an api_key, or the base_url of a server"
        )
    return _PromptSTT(
        model=options.model or _MODEL,
        language=options.language,
        # Both are always given: left out, the client takes them from the environment, and a key
        # meant for OpenAI would go to whatever server base_url names.
        base_url=options.base_url or _OPENAI,
        api_key=options.api_key or "none",
        use_realtime=False,
    )


class _PromptSTT(openai.STT):
    """LiveKit's, held to its timeout, and closed whole.

    The plugin spends `conn_options.timeout` on connecting alone and then waits 30 s for words.
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
