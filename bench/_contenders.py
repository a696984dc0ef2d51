"""Who is measured. Each is a small function: addresses, best first, in; something that speaks, out.

All are heard at the same place, where an agent takes the words: the first chunk with content that
comes out of `llm.LLM.chat`.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import httpx2
from livekit.agents import llm
from livekit.plugins import openai

from llm_router import Connection, open_router
from llm_router.integrations.livekit import RouterLLM

Speaker = Callable[[], AsyncGenerator[str, None]]
"""Asks the question once; the reply comes piece by piece."""
Opens = Callable[[Sequence[str]], AbstractAsyncContextManager[Speaker]]

_MODEL = "faulty"
_MESSAGES = [
    {"role": "system", "content": "You answer the telephone of a small restaurant."},
    {"role": "user", "content": "I booked a table for tonight. Is everything all right with it?"},
]


@dataclass(frozen=True, slots=True)
class Contender:
    """`healthy_turns`: how many it has had before it meets a fault. Without any it is cold: new
    for each turn, as at the beginning of a call.
    """

    product: str
    opens: Opens
    healthy_turns: int = 0

    @property
    def name(self) -> str:
        return f"{self.product}, {'warm' if self.healthy_turns else 'cold'}"


def through_livekit(model: llm.LLM[Any]) -> Speaker:
    context = llm.ChatContext.empty()
    for message in _MESSAGES:
        context.add_message(
            role="user" if message["role"] == "user" else "system", content=message["content"]
        )

    async def speak() -> AsyncGenerator[str, None]:
        async with model.chat(chat_ctx=context) as stream:
            async for chunk in stream:
                if chunk.delta and chunk.delta.content:
                    yield chunk.delta.content

    return speak


@asynccontextmanager
async def patchbay(base_urls: Sequence[str]) -> AsyncIterator[Speaker]:
    connections = [
        Connection(name=url, base_url=url, model_name=_MODEL, priority=i, continuation="flags")
        for i, url in enumerate(base_urls)
    ]
    async with open_router(connections) as router:
        yield through_livekit(RouterLLM(router))


def fallback_adapter(attempt_timeout: float) -> Opens:
    @asynccontextmanager
    async def opens(base_urls: Sequence[str]) -> AsyncIterator[Speaker]:
        async with AsyncExitStack() as stack:
            models: list[llm.LLM[Any]] = []
            for url in base_urls:
                model = openai.LLM(model=_MODEL, base_url=url, api_key="unused")
                stack.push_async_callback(model.aclose)
                models.append(model)
            adapter = llm.FallbackAdapter(models, attempt_timeout=attempt_timeout)
            stack.push_async_callback(adapter.aclose)
            yield through_livekit(adapter)

    return opens


@asynccontextmanager
async def bare_stream(base_urls: Sequence[str]) -> AsyncIterator[Speaker]:
    """The HTTP client alone: what nobody can be faster than."""
    body = {"model": _MODEL, "messages": _MESSAGES, "stream": True}
    async with httpx2.AsyncClient(timeout=None) as client:

        async def speak() -> AsyncGenerator[str, None]:
            url = f"{base_urls[0]}/chat/completions"
            async with client.stream("POST", url, json=body) as response:
                async for line in response.aiter_lines():
                    if not line.startswith("data: {"):
                        continue
                    for choice in json.loads(line[len("data: ") :])["choices"]:
                        if content := choice["delta"].get("content"):
                            yield content

        yield speak


WARM = 10
"""Healthy turns before a fault."""
_STOCK, _TUNED = fallback_adapter(5.0), fallback_adapter(1.0)
CONTENDERS = (
    Contender("Patchbay", patchbay),
    Contender("Patchbay", patchbay, WARM),
    Contender("FallbackAdapter", _STOCK),
    Contender("FallbackAdapter", _STOCK, WARM),
    Contender("FallbackAdapter 1 s", _TUNED),
    Contender("FallbackAdapter 1 s", _TUNED, WARM),
)
PACKAGES = ("patchbay", "livekit-agents", "livekit-plugins-openai", "openai", "httpx2")


def versions() -> str:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # run from a checkout that was never installed
            found.append(f"{package} from its checkout")
    return ", ".join(found)
