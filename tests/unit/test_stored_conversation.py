"""Tests how a reply of a stored conversation is ended at the API."""

import asyncio
import json
from typing import Any

import httpx2
import pytest

from llm_router.api_client import ApiClient
from llm_router.tui.conversation import Options, Reply, StoredConversation, Words


class Events(httpx2.AsyncByteStream):
    """Events of a reply that does not end."""

    def __init__(self, *events: tuple[str, Any]) -> None:
        self._events = events

    async def __aiter__(self) -> Any:
        for name, data in self._events:
            yield f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
        await asyncio.Event().wait()


class Chats(httpx2.AsyncBaseTransport):
    """An API with one chat, whose reply 2 is being written until it is stopped.

    It answers a stop once it is `opened`, and has done it before with `is_early`.
    """

    def __init__(self, *events: tuple[str, Any], is_early: bool = False) -> None:
        self._events = events
        self._is_early = is_early
        self._is_stopped = False
        self.requests: asyncio.Queue[str] = asyncio.Queue()
        self.opened = asyncio.Event()
        self.answers: list[int] = []
        """The status of each stop that was answered."""
        self.waits: dict[str, float] = {}
        """Seconds for which the answer to the last request of each kind is waited for."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path.removeprefix("/api/chats")
        self.requests.put_nowait(f"{request.method} {path}")
        self.waits[f"{request.method} {path}"] = request.extensions["timeout"]["read"]
        if path.endswith("/messages"):
            return httpx2.Response(200, stream=Events(*self._events))
        if path.endswith("/stop"):
            return await self._stop()
        reply = {"number": 2, "status": "broken_off" if self._is_stopped else "running"}
        return httpx2.Response(200, json={"id": "c1", "path": [reply]})

    async def _stop(self) -> httpx2.Response:
        status = 409 if self._is_stopped else 200
        self._is_stopped = self._is_stopped or self._is_early
        await self.opened.wait()
        self._is_stopped = True
        self.answers.append(status)
        kind = {"content-type": "application/problem+json"} if status != 200 else {}
        return httpx2.Response(status, json={"detail": "it is no running reply"}, headers=kind)

    async def requested(self, request: str) -> None:
        """Returns once the request has come."""
        while await self.requests.get() != request:
            pass


@pytest.mark.parametrize(("is_early", "answer"), [(False, 200), (True, 409)])
async def test_a_stop_that_is_cut_off_can_be_asked_for_again(
    *, is_early: bool, answer: int
) -> None:
    question = ("question", {"reply": 2, "title": "Hi"})
    chats = Chats(question, ("text", {"text": "Hello"}), is_early=is_early)
    async with ApiClient("http://patchbay.test", transport=chats) as api:
        conversation = StoredConversation(api, Options())
        reply = conversation.ask("Hi")
        assert await anext(reply) == Words("Hello")
        await reply.aclose()
        first = asyncio.create_task(conversation.stop())
        await chats.requested("POST /c1/messages/2/stop")
        first.cancel()
        await asyncio.wait([first])
        chats.opened.set()
        assert await conversation.stop()
        assert chats.answers == [answer]
        assert not await conversation.stop()
        assert chats.answers == [answer]


async def first_step(reply: Reply) -> object:
    return await anext(reply)


async def test_a_reply_is_ended_also_before_its_number_is_known() -> None:
    chats = Chats()
    chats.opened.set()
    async with ApiClient("http://patchbay.test", transport=chats) as api:
        conversation = StoredConversation(api, Options())
        asking = asyncio.create_task(first_step(conversation.ask("Hi")))
        await chats.requested("POST /c1/messages")
        asking.cancel()
        await asyncio.wait([asking])
        assert await conversation.stop()
        assert chats.answers == [200]
        # A person waits for both, and can send nothing until then.
        assert chats.waits["GET /c1"] == chats.waits["POST /c1/messages/2/stop"] == 5.0
