"""Speaks with any server that has OpenAI's `/audio/speech`: OpenAI, Kokoro-FastAPI, speaches."""

import httpx2
from livekit.plugins import openai
from openai import AsyncClient

from agent.speech.tts import TTSEngine, TTSOptions
from llm_router.errors import ConfigurationError
from llm_router.net.transports import EnvironmentTransport

_OPENAI = "https://api.openai.com/v1"
_MODEL = "gpt-4o-mini-tts"
_VOICE = "ash"


def create(options: TTSOptions) -> TTSEngine:
    """Makes the engine. Raises ConfigurationError if neither a key nor a `base_url` is given."""
    if not options.api_key and not options.base_url:
        raise ConfigurationError(
            "TTS engine 'openai' needs TTS_API_KEY, or TTS_BASE_URL with the address of a server"
        )
    client = AsyncClient(
        # Both are always set: otherwise the client reads them from the environment, and a key
        # meant for OpenAI would go to the server that base_url names.
        base_url=options.base_url or _OPENAI,
        api_key=options.api_key or "none",
        max_retries=0,
        http_client=_client(options.timeout),
    )
    return _OwnedTTS(
        client=client,
        model=options.model or _MODEL,
        voice=options.voice or _VOICE,
        # Raw PCM states no rate and the plugin assumes 24 kHz, which not every server sends.
        response_format="wav",
    )


def _client(timeout: float) -> httpx2.AsyncClient:
    """Makes an HTTP client that gives up after `timeout` seconds without a byte.

    It overrides the timeout that the plugin sets in each request, which is 30 s.
    """

    async def set_timeout(request: httpx2.Request) -> None:
        request.extensions["timeout"] = httpx2.Timeout(timeout).as_dict()

    return httpx2.AsyncClient(
        follow_redirects=True,
        event_hooks={"request": [set_timeout]},
        transport=EnvironmentTransport(),
        trust_env=False,
    )


class _OwnedTTS(openai.TTS):
    """Closes its client with itself, which the plugin does not for a client that it was given."""

    async def aclose(self) -> None:
        await super().aclose()
        await self._client.close()
