"""Any server that speaks OpenAI's `/audio/speech`: OpenAI, Kokoro-FastAPI, speaches, ..."""

import httpx2
from livekit.plugins import openai
from openai import AsyncClient

from agent.tts.base import Engine, TTSOptions
from llm_router.errors import ConfigurationError

_OPENAI = "https://api.openai.com/v1"
_MODEL = "gpt-4o-mini-tts"
_VOICE = "ash"


def create(options: TTSOptions) -> Engine:
    """Raises ConfigurationError without a key, unless `base_url` names a server of your own."""
    if not options.api_key and not options.base_url:
        raise ConfigurationError(
            "TTS engine 'openai' needs an api_key, or the base_url of a server"
        )
    client = AsyncClient(
        # Both are always given: left out, the client takes them from the environment, and a key
        # meant for OpenAI would go to whatever server base_url names.
        base_url=options.base_url or _OPENAI,
        api_key=options.api_key or "none",
        max_retries=0,
        http_client=_impatient(options.timeout),
    )
    return _OwnedTTS(
        client=client,
        model=options.model or _MODEL,
        voice=options.voice or _VOICE,
        # Raw PCM carries no rate and is taken for 24 kHz, which not every server sends.
        response_format="wav",
    )


def _impatient(timeout: float) -> httpx2.AsyncClient:
    """Gives up when nothing came for `timeout` seconds; the plugin asks for 30 in each request."""

    async def hurry(request: httpx2.Request) -> None:
        request.extensions["timeout"] = httpx2.Timeout(timeout).as_dict()

    return httpx2.AsyncClient(follow_redirects=True, event_hooks={"request": [hurry]})


class _OwnedTTS(openai.TTS):
    async def aclose(self) -> None:
        await super().aclose()
        await self._client.close()
