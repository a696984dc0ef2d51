"""pydantic-ai's FallbackModel. Needs the environment `pydantic-ai`."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from pydantic_ai import messages as said  # type: ignore[import-not-found]  # has its own environment
from pydantic_ai.direct import model_request_stream  # type: ignore[import-not-found]  # same
from pydantic_ai.models.fallback import FallbackModel  # type: ignore[import-not-found]  # same
from pydantic_ai.models.openai import OpenAIChatModel  # type: ignore[import-not-found]  # same
from pydantic_ai.providers.openai import OpenAIProvider  # type: ignore[import-not-found]  # same
from pydantic_ai.settings import ModelSettings  # type: ignore[import-not-found]  # same

from bench.peers._runner import MESSAGES, MODEL, Opens, Speaker, run

_SYSTEM, _QUESTION = (message["content"] for message in MESSAGES)
_REQUEST = said.ModelRequest(
    parts=[said.SystemPromptPart(content=_SYSTEM), said.UserPromptPart(content=_QUESTION)]
)


def _text(event: Any) -> str:
    match event:
        case said.PartStartEvent(part=said.TextPart(content=text)):
            return str(text)
        case said.PartDeltaEvent(delta=said.TextPartDelta(content_delta=text)):
            return str(text)
    return ""


def fallback_model(**settings: float) -> Opens:
    @asynccontextmanager
    async def opens(addresses: Sequence[str]) -> AsyncIterator[Speaker]:
        models = [
            OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=url, api_key="unused"))
            for url in addresses
        ]

        async def speak() -> AsyncGenerator[str, None]:
            asked = model_request_stream(
                model, [_REQUEST], model_settings=ModelSettings(**settings)
            )
            async with asked as stream:
                async for event in stream:
                    if text := _text(event):
                        yield text

        async with FallbackModel(*models) as model:
            yield speak

    return opens


if __name__ == "__main__":
    run(
        {"default": fallback_model(), "tuned": fallback_model(first_event_timeout=1.0)},
        ["pydantic-ai-slim"],
    )
