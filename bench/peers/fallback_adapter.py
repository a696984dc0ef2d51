"""LiveKit's FallbackAdapter around its own OpenAI plugin."""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions, llm
from livekit.plugins import openai
from openai import AsyncClient

from bench.peers.runner import MESSAGES, MODEL, Ask, OpenContender, run

_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Loads no certificates: the servers speak plain HTTP, and loading them for each new adapter would
take the processor from the other contenders."""


def ask_through_livekit(model: llm.LLM[Any], options: APIConnectOptions | None = None) -> Ask:
    """Returns a function that asks the model as a voice session does.

    `options`: the retries and the time limit that the session passes on; None: the model's own.
    """
    conn_options: dict[str, Any] = {} if options is None else {"conn_options": options}
    context = llm.ChatContext.empty()
    for message in MESSAGES:
        context.add_message(
            role="user" if message["role"] == "user" else "system", content=message["content"]
        )

    async def ask() -> AsyncGenerator[str, None]:
        async with model.chat(chat_ctx=context, **conn_options) as stream:
            async for chunk in stream:
                if chunk.delta and chunk.delta.content:
                    yield chunk.delta.content

    return ask


def fallback_adapter(
    attempt_timeout: float, options: APIConnectOptions | None = None
) -> OpenContender:
    @asynccontextmanager
    async def open_adapter(addresses: Sequence[str]) -> AsyncIterator[Ask]:
        async with AsyncExitStack() as stack:
            models: list[llm.LLM[Any]] = []
            for url in addresses:
                http = await stack.enter_async_context(httpx2.AsyncClient(verify=_NO_TLS))
                client = AsyncClient(
                    base_url=url, api_key="unused", max_retries=0, http_client=http
                )
                models.append(openai.LLM(model=MODEL, client=client))
            adapter = llm.FallbackAdapter(models, attempt_timeout=attempt_timeout)
            stack.push_async_callback(adapter.aclose)
            yield ask_through_livekit(adapter, options)

    return open_adapter


if __name__ == "__main__":
    run(
        {
            "default": fallback_adapter(5.0),
            "tuned": fallback_adapter(1.0),
            "session": fallback_adapter(5.0, DEFAULT_API_CONNECT_OPTIONS),
        },
        ["livekit-agents", "livekit-plugins-openai", "openai"],
    )
