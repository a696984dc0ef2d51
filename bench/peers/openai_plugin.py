"""LiveKit's OpenAI plugin as it comes, with the retries of a voice session."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from livekit.agents import DEFAULT_API_CONNECT_OPTIONS
from livekit.plugins import openai

from bench.peers.fallback_adapter import ask_through_livekit
from bench.peers.runner import MODEL, Ask, run


@asynccontextmanager
async def openai_plugin(addresses: Sequence[str]) -> AsyncIterator[Ask]:
    """Asks the first server: the plugin knows no other."""
    model = openai.LLM(model=MODEL, base_url=addresses[0], api_key="unused")
    try:
        yield ask_through_livekit(model, DEFAULT_API_CONNECT_OPTIONS)
    finally:
        await model.aclose()


if __name__ == "__main__":
    run({"default": openai_plugin}, ["livekit-agents", "livekit-plugins-openai", "openai"])
