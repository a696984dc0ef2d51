"""Test servers that answer like the clouds that LiveKit's plugins connect to."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from llm_router.clock import SystemClock
from llm_router.connections.record import Connection
from llm_router.providers.livekit_plugin.provider import LiveKitProvider, create
from llm_router.testing.server import FaultyServer, Script
from llm_router.testing.vendor_replies import (
    CONVERSE,
    FRAMES,
    MESSAGES,
    anthropic,
    anthropic_error,
    bedrock,
)
from llm_router.types import ToolCall

WORDS = ("We", " open", " at", " nine", ".")


@dataclass(frozen=True)
class Cloud:
    """A vendor: its connection, and the format of its server's replies."""

    name: str
    chats: str
    fields: Mapping[str, Any]
    says: Any
    content_type: str
    tool_stop: str

    def script(self, *words: str, calls: Sequence[ToolCall] = (), **fields: Any) -> Script:
        stop = fields.pop("stop", self.tool_stop if calls else "end_turn")
        pieces = self.says(words, calls, stop=stop)
        return self.sending(pieces, **fields)

    def sending(self, pieces: Sequence[bytes], **fields: Any) -> Script:
        headers = {"x-amzn-requestid": "r1", "request-id": "r1"}
        return Script(raw=pieces, content_type=self.content_type, headers=headers, **fields)

    def refusal(self, status: int, kind: str, message: str) -> Mapping[str, Any]:
        if self.name == "anthropic":
            return anthropic_error(kind, message)
        return {"__type": kind, "message": message}


CLOUDS = {
    "anthropic": Cloud(
        "anthropic",
        MESSAGES,
        {"connection_type": "anthropic", "model_name": "claude-haiku-4-5", "api_key": "sk-secret"},
        anthropic,
        "text/event-stream",
        "tool_use",
    ),
    "bedrock": Cloud(
        "bedrock",
        CONVERSE,
        {
            "connection_type": "bedrock",
            "model_name": "us.anthropic.claude-haiku-4-5-20251001-v1:0",
            "api_key": "AKIDEXAMPLE:sk-secret",
            "region": "eu-west-1",
        },
        bedrock,
        FRAMES,
        "tool_use",
    ),
}


@dataclass
class Open:
    cloud: Cloud
    server: FaultyServer
    provider: LiveKitProvider

    async def behave(self, *words: str, **fields: Any) -> None:
        await self.server.behave(self.cloud.script(*words, **fields))

    def body(self, number: int = 0) -> Mapping[str, Any]:
        return self.server.requests[number].body

    def system(self) -> str:
        parts = self.body()["system"]
        return "\n".join(part["text"] for part in parts)


@asynccontextmanager
async def opened(name: str, **fields: Any) -> AsyncIterator[Open]:
    cloud = CLOUDS[name]
    async with FaultyServer(cloud.script(*WORDS), chat_paths=(cloud.chats,)) as server:
        root = server.base_url.removesuffix("/v1")
        given = {"name": "mine", "provider": "livekit_plugin", "base_url": root, **cloud.fields}
        provider = create(Connection(**{**given, **fields}), SystemClock())
        assert isinstance(provider, LiveKitProvider)
        try:
            yield Open(cloud, server, provider)
        finally:
            await provider.aclose()
