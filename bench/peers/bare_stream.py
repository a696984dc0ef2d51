"""The HTTP client alone: a lower bound that no contender can beat."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx2

from bench.peers.runner import MESSAGES, MODEL, Ask


@asynccontextmanager
async def bare_stream(
    addresses: Sequence[str], transport: httpx2.AsyncBaseTransport | None = None
) -> AsyncIterator[Ask]:
    """Asks the first server, with as little parsing as yields the words."""
    body = {"model": MODEL, "messages": MESSAGES, "stream": True}
    async with httpx2.AsyncClient(timeout=None, transport=transport) as client:

        async def ask() -> AsyncGenerator[str, None]:
            url = f"{addresses[0]}/chat/completions"
            async with client.stream("POST", url, json=body) as response:
                async for line in response.aiter_lines():
                    if not line.startswith("data: {"):
                        continue
                    for choice in json.loads(line[len("data: ") :])["choices"]:
                        if content := choice["delta"].get("content"):
                            yield content

        yield ask
