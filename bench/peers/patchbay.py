"""Patchbay's router, as an agent uses it: through LiveKit's `llm.LLM`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bench.peers._runner import MODEL, Speaker, run
from bench.peers.fallback_adapter import through_livekit
from llm_router import Connection, open_router
from llm_router.integrations.livekit import RouterLLM


@asynccontextmanager
async def patchbay(addresses: Sequence[str]) -> AsyncIterator[Speaker]:
    connections = [
        Connection(name=url, base_url=url, model_name=MODEL, priority=i, continuation="flags")
        for i, url in enumerate(addresses)
    ]
    async with open_router(connections) as router:
        yield through_livekit(RouterLLM(router))


if __name__ == "__main__":
    run({"default": patchbay}, ["patchbay", "httpx2"])
