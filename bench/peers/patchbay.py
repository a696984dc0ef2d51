"""Patchbay's router, used as an agent uses it: through LiveKit's `llm.LLM`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bench.peers.fallback_adapter import ask_through_livekit
from bench.peers.runner import MODEL, Ask, run
from llm_router import Connection, open_router
from llm_router.integrations.livekit import RouterLLM


@asynccontextmanager
async def patchbay(addresses: Sequence[str]) -> AsyncIterator[Ask]:
    connections = [
        Connection(name=url, base_url=url, model_name=MODEL, priority=place, continuation="flags")
        for place, url in enumerate(addresses)
    ]
    async with open_router(connections) as router:
        yield ask_through_livekit(RouterLLM(router, speech=True))


if __name__ == "__main__":
    run({"default": patchbay}, ["patchbay", "httpx2"])
