"""The forms of the API besides chat completions, as the vendors' own clients speak them."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import anthropic
import httpx2
import openai

from tests.scenarios.chat_api import TOOLS, ChatApi

Called = tuple[str, str, Any]
"""Id, name and arguments of a tool call."""


@dataclass(frozen=True)
class Said:
    """A reply as a client's accumulator has it."""

    text: str
    calls: Sequence[Called]
    reason: str | None
    tokens: tuple[int, int]
    """Of the prompt and of the reply."""


class ApiForm(Protocol):
    """A form of the API: how its client asks, and which of its words mean the same.

    `ended`, `called` and `cut` are its reasons for the end of a reply; `tools` is TOOLS.
    """

    path: str
    ended: str
    called: str
    cut: str
    tools: Mapping[str, Any]

    @property
    def failure(self) -> type[openai.APIError | anthropic.APIError]: ...

    def asked(self, **fields: Any) -> dict[str, Any]: ...

    async def streamed(self, api: ChatApi, **fields: Any) -> Said: ...

    async def whole(self, api: ChatApi, **fields: Any) -> Said: ...

    def text(self, api: ChatApi) -> AsyncIterator[str]: ...


class Responses:
    path = "/v1/responses"
    ended = called = "completed"
    cut = "max_output_tokens"
    failure = openai.APIError
    tools: Mapping[str, Any] = {
        "tools": [{"type": "function", **tool["function"]} for tool in TOOLS]
    }

    def asked(self, **fields: Any) -> dict[str, Any]:
        return {"model": "auto", "input": "hi", **fields}

    async def streamed(self, api: ChatApi, **fields: Any) -> Said:
        async with api.client.responses.stream(**self.asked(**fields)) as stream:
            response: Any = None
            async for event in stream:
                response = getattr(event, "response", response)
        return self._said(response)

    async def whole(self, api: ChatApi, **fields: Any) -> Said:
        return self._said(await api.client.responses.create(**self.asked(**fields)))

    async def text(self, api: ChatApi) -> AsyncIterator[str]:
        async for event in await api.client.responses.create(**self.asked(), stream=True):
            if event.type == "response.output_text.delta":
                yield event.delta

    @staticmethod
    def _said(response: Any) -> Said:
        calls = [(item.call_id, item.name, json.loads(item.arguments))
                 for item in response.output if item.type == "function_call"]  # fmt: skip
        details = response.incomplete_details
        reason = details.reason if details else response.status
        usage = response.usage
        return Said(response.output_text, calls, reason, (usage.input_tokens, usage.output_tokens))


class Messages:
    path = "/v1/messages"
    ended, called, cut = "end_turn", "tool_use", "max_tokens"
    failure = anthropic.APIError
    tools: Mapping[str, Any] = {
        "tools": [
            {"name": tool["function"]["name"], "input_schema": {"type": "object"}} for tool in TOOLS
        ]
    }

    def asked(self, **fields: Any) -> dict[str, Any]:
        said = [{"role": "user", "content": "hi"}]
        return {"model": "auto", "max_tokens": 100, "messages": said, **fields}

    async def streamed(self, api: ChatApi, **fields: Any) -> Said:
        async with (
            self._client(api) as client,
            client.messages.stream(**self.asked(**fields)) as stream,
        ):
            return self._said(await stream.get_final_message())

    async def whole(self, api: ChatApi, **fields: Any) -> Said:
        async with self._client(api) as client:
            return self._said(await client.messages.create(**self.asked(**fields)))

    async def text(self, api: ChatApi) -> AsyncIterator[str]:
        async with self._client(api) as client, client.messages.stream(**self.asked()) as stream:
            async for text in stream.text_stream:
                yield text

    @staticmethod
    @asynccontextmanager
    async def _client(api: ChatApi) -> AsyncIterator[anthropic.AsyncAnthropic]:
        async with anthropic.AsyncAnthropic(
            api_key="pb_",
            base_url=f"http://127.0.0.1:{api.port}",
            max_retries=0,
            http_client=httpx2.AsyncClient(verify=False),
        ) as client:
            yield client

    @staticmethod
    def _said(message: Any) -> Said:
        text = "".join(block.text for block in message.content if block.type == "text")
        calls = [(block.id, block.name, block.input)
                 for block in message.content if block.type == "tool_use"]  # fmt: skip
        usage = message.usage
        return Said(text, calls, message.stop_reason, (usage.input_tokens, usage.output_tokens))


class Completions:
    path = "/v1/completions"
    ended = called = "stop"
    cut = "length"
    failure = openai.APIError
    tools: Mapping[str, Any] = {}

    def asked(self, **fields: Any) -> dict[str, Any]:
        return {"model": "auto", "prompt": "hi", **fields}

    async def streamed(self, api: ChatApi, **fields: Any) -> Said:
        texts, reason, usage = [], None, None
        asked = {**self.asked(**fields), "stream_options": {"include_usage": True}}
        async for frame in await api.client.completions.create(**asked, stream=True):
            usage = frame.usage or usage
            for choice in frame.choices:
                texts.append(choice.text)
                reason = choice.finish_reason or reason
        assert usage
        return Said("".join(texts), (), reason, (usage.prompt_tokens, usage.completion_tokens))

    async def whole(self, api: ChatApi, **fields: Any) -> Said:
        completion = await api.client.completions.create(**self.asked(**fields))
        [choice] = completion.choices
        used = completion.usage
        return Said(
            choice.text, (), choice.finish_reason, (used.prompt_tokens, used.completion_tokens)
        )

    async def text(self, api: ChatApi) -> AsyncIterator[str]:
        async for frame in await api.client.completions.create(**self.asked(), stream=True):
            yield frame.choices[0].text


FORMS: Mapping[str, ApiForm] = {
    "responses": Responses(),
    "messages": Messages(),
    "completions": Completions(),
}
