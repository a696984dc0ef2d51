"""Speaks with any server that has OpenAI's `/audio/speech`: OpenAI, Kokoro-FastAPI, speaches."""

import httpx2
from livekit.plugins import openai

from agent.speech.openai_client import Hook, audio_client
from agent.speech.tts import TTSEngine, TTSOptions
from llm_router.errors import ConfigurationError

_MODEL = "gpt-4o-mini-tts"
_VOICE = "ash"


def create(options: TTSOptions) -> TTSEngine:
    """Makes the engine. Raises ConfigurationError if neither a key nor a `base_url` is given."""
    if not options.api_key and not options.base_url:
        raise ConfigurationError(
            "TTS engine 'openai' needs TTS_API_KEY, or TTS_BASE_URL with the address of a server"
        )
    return _OwnedTTS(
        client=audio_client(options, [_give_up_after(options.timeout)]),
        model=options.model or _MODEL,
        voice=options.voice or _VOICE,
        speed=options.speed,
        # Raw PCM states no rate and the plugin assumes 24 kHz, which not every server sends.
        response_format="wav",
    )


def _give_up_after(timeout: float) -> Hook:
    """Makes the hook that limits the wait for a byte to `timeout` seconds.

    It overrides the timeout that the plugin sets in each request, which is 30 s.
    """

    async def set_timeout(request: httpx2.Request) -> None:
        request.extensions["timeout"] = httpx2.Timeout(timeout).as_dict()

    return set_timeout


class _OwnedTTS(openai.TTS):
    """Closes its client with itself, which the plugin does not for a client that it was given."""

    async def aclose(self) -> None:
        await super().aclose()
        await self._client.close()
