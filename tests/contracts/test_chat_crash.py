"""Tests that a process killed in mid-chat has every message that it acknowledged."""

import asyncio
import itertools
import json
from pathlib import Path

import httpx2
import pytest

from llm_router.store.tables import chat_messages
from llm_router.testing.server import FaultyServer, Script
from tests.contracts.api_process import Serving, serving
from tests.contracts.databases import Server, opened
from tests.contracts.test_api_crash import person, variables

CHATTERS = 8
KILLED_AFTER = 60
"""Acknowledged messages and replies."""
BUSY = 503
"""The database was not written within a second, on a busy disk: nothing is acknowledged."""
ANSWER = Script(words=["One ", "two ", "three ", "four."], gap=0.002)


class Chatters:
    """Clients that chat without a pause until the process ends; every other one reads streams."""

    def __init__(self, process: Serving, client: httpx2.AsyncClient) -> None:
        self._process, self._client = process, client
        self.acknowledged: dict[tuple[str, int], str] = {}
        """The content of each message, by its chat and number."""

    async def chat(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(CHATTERS):
                tasks.create_task(self._until_it_is_gone(streams=bool(number % 2)))

    async def _until_it_is_gone(self, *, streams: bool) -> None:
        try:
            chat = (await self._client.post("/chats", json={})).json()["id"]
            for number in itertools.count():
                await (self._stream if streams else self._whole)(chat, f"Question {number}?")
        except httpx2.TransportError:
            pass

    async def _whole(self, chat: str, content: str) -> None:
        body = {"content": content, "stream": False}
        answer = await self._client.post(f"/chats/{chat}/messages", json=body)
        if answer.status_code == BUSY:
            return
        assert answer.status_code == 201, answer.text
        turn = answer.json()
        for message in turn.values():
            if message["status"] == "whole":
                await self._acknowledge(chat, message["number"], message["content"])

    async def _stream(self, chat: str, content: str) -> None:
        path, text, asked, data = f"/chats/{chat}/messages", "", 0, {}
        async with self._client.stream("POST", path, json={"content": content}) as answer:
            async for line in answer.aiter_lines():
                if not line.startswith("data: "):
                    continue
                data = json.loads(line.removeprefix("data: "))
                text += data.get("text", "")
                if asked := data.get("message", 0):
                    await self._acknowledge(chat, asked, content)
        if data.get("status") == "whole":
            await self._acknowledge(chat, data["number"], text)

    async def _acknowledge(self, chat: str, number: int, content: str) -> None:
        self.acknowledged[chat, number] = content
        if len(self.acknowledged) == KILLED_AFTER:
            await self._process.kill()


@pytest.mark.timeout(120)
async def test_a_killed_process_has_every_acknowledged_message(
    server: Server, tmp_path: Path
) -> None:
    url = await server.new()
    async with (
        FaultyServer(ANSWER) as model,
        serving(tmp_path, **variables(tmp_path, url)) as process,
        person(process, tmp_path) as client,
    ):
        row = {"name": "desk", "base_url": model.base_url, "model_name": "m"}
        assert (await client.post("/connections", json=row)).status_code == 201
        chatters = Chatters(process, client)
        await chatters.chat()
    assert len(chatters.acknowledged) >= KILLED_AFTER
    stored = await everything(url)
    assert not chatters.acknowledged.items() - stored.items()
    # A message and its reply are stored first and acknowledged then.
    assert len(stored) <= len(chatters.acknowledged) + 2 * CHATTERS


async def everything(url: str) -> dict[tuple[str, int], str]:
    """Returns the content of every stored message, by its chat and number."""
    async with opened(url) as database, database.reading() as db:
        rows = (await db.execute(chat_messages.select())).all()
    return {(row.session_id, row.number): row.content for row in rows}
