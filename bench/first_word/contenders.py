"""Who is measured, and the bare stream that nobody can be faster than.

Each contender is a module of `bench/peers`: addresses, best first, in; something that speaks, out.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import httpx2

from bench.peers._runner import MESSAGES, MODEL, Opens, Speaker

__all__ = ["CONTENDERS", "WARM", "Contender", "Opens", "Speaker", "bare_stream", "versions"]


@dataclass(frozen=True, slots=True)
class Contender:
    """`module` opens it, in `setting`. `environment`: where it lives; None: among our packages.

    `healthy_turns`: how many it has had before it meets a fault. Without any it is cold: new for
    each turn, as at the beginning of a call. `strands`: faults that it meets at a time, each in
    processes of its own; a caller of a server that hangs waits without working, so there is room
    for more than there are processors, and most for whoever waits longest.
    """

    product: str
    module: str
    setting: str = "default"
    healthy_turns: int = 0
    environment: str | None = None
    strands: int = 2

    @property
    def name(self) -> str:
        return f"{self.product}, {'warm' if self.healthy_turns else 'cold'}"


WARM = 10
"""Healthy turns before a fault."""
_OURS, _LIVEKIT = "bench.peers.patchbay", "bench.peers.fallback_adapter"
_LITELLM, _PYDANTIC = "bench.peers.litellm_router", "bench.peers.fallback_model"
CONTENDERS = (
    Contender("Patchbay", _OURS),
    Contender("Patchbay", _OURS, healthy_turns=WARM),
    Contender("FallbackAdapter", _LIVEKIT),
    Contender("FallbackAdapter", _LIVEKIT, healthy_turns=WARM),
    Contender("FallbackAdapter 1 s", _LIVEKIT, "tuned"),
    Contender("FallbackAdapter 1 s", _LIVEKIT, "tuned", WARM),
    Contender("LiteLLM Router", _LITELLM, "default", WARM, "litellm", strands=3),
    Contender("LiteLLM Router 1 s", _LITELLM, "tuned", WARM, "litellm"),
    Contender("FallbackModel", _PYDANTIC, "default", WARM, "pydantic-ai", strands=3),
    Contender("FallbackModel 1 s", _PYDANTIC, "tuned", WARM, "pydantic-ai"),
)


@asynccontextmanager
async def bare_stream(
    addresses: Sequence[str], transport: httpx2.AsyncBaseTransport | None = None
) -> AsyncIterator[Speaker]:
    """The HTTP client alone: what nobody can be faster than."""
    body = {"model": MODEL, "messages": MESSAGES, "stream": True}
    async with httpx2.AsyncClient(timeout=None, transport=transport) as client:

        async def speak() -> AsyncGenerator[str, None]:
            url = f"{addresses[0]}/chat/completions"
            async with client.stream("POST", url, json=body) as response:
                async for line in response.aiter_lines():
                    if not line.startswith("data: {"):
                        continue
                    for choice in json.loads(line[len("data: ") :])["choices"]:
                        if content := choice["delta"].get("content"):
                            yield content

        yield speak


PACKAGES = ("patchbay", "livekit-agents", "livekit-plugins-openai", "openai", "httpx2")


def versions() -> str:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # run from a checkout that was never installed
            found.append(f"{package} from its checkout")
    return ", ".join(found)
