"""pydantic-ai's FallbackModel. Needs the environment `pydantic-ai`."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from pydantic_ai import messages  # type: ignore[import-not-found]  # has an environment of its own
from pydantic_ai.direct import model_request_stream  # type: ignore[import-not-found]  # same
from pydantic_ai.models.fallback import FallbackModel  # type: ignore[import-not-found]  # same
from pydantic_ai.models.openai import OpenAIChatModel  # type: ignore[import-not-found]  # same
from pydantic_ai.providers.openai import OpenAIProvider  # type: ignore[import-not-found]  # same
from pydantic_ai.settings import ModelSettings  # type: ignore[import-not-found]  # same

from bench.peers.runner import MESSAGES, MODEL, Ask, OpenContender, run

_SYSTEM, _QUESTION = (message["content"] for message in MESSAGES)
_REQUEST = messages.ModelRequest(
    parts=[messages.SystemPromptPart(content=_SYSTEM), messages.UserPromptPart(content=_QUESTION)]
)


def _text(event: Any) -> str:
    match event:
        case messages.PartStartEvent(part=messages.TextPart(content=text)):
            return str(text)
        case messages.PartDeltaEvent(delta=messages.TextPartDelta(content_delta=text)):
            return str(text)
    return ""


def fallback_model(**settings: float) -> OpenContender:
    @asynccontextmanager
    async def open_model(addresses: Sequence[str]) -> AsyncIterator[Ask]:
        models = [
            OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=url, api_key="unused"))
            for url in addresses
        ]

        async def ask() -> AsyncGenerator[str, None]:
            response = model_request_stream(
                model, [_REQUEST], model_settings=ModelSettings(**settings)
            )
            async with response as stream:
                async for event in stream:
                    if text := _text(event):
                        yield text

        async with FallbackModel(*models) as model:
            yield ask

    return open_model


if __name__ == "__main__":
    run(
        {"default": fallback_model(), "tuned": fallback_model(first_event_timeout=1.0)},
        ["pydantic-ai-slim"],
    )
