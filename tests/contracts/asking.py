"""Requests for tests of any provider, and a helper that collects the reply."""

from collections.abc import Sequence
from contextlib import aclosing

from llm_router.providers.base import Provider
from llm_router.types import ChatRequest, Chunk

HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}])
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather somewhere.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


async def collect(
    provider: Provider, request: ChatRequest = HELLO, into: list[Chunk] | None = None
) -> list[Chunk]:
    """Returns all chunks; `into` also holds those before an error."""
    chunks = [] if into is None else into
    async with aclosing(provider.stream(request)) as stream:
        async for chunk in stream:
            chunks.append(chunk)
    return chunks


def text(chunks: Sequence[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)
