"""Tests that a conversation in writing survives kill -9 of its HTTP process in mid-reply."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from llm_router.testing.server import FaultyServer, Script
from tests.contracts.api_process import Serving, isolated_environ, serving
from tests.contracts.databases import Server
from tests.contracts.texting import Event, events_of

WORDS = [f"word{number} " for number in range(60)]
SLOW = Script(words=WORDS, gap=0.05)
REST = Script(words=["and ", "so ", "it ", "ends."], gap=0.002)
PROMPTS = Path(__file__).parents[2] / "config" / "prompts"
SHOWN = 5
"""Words that the visitor has when the process is killed."""


class Page:
    """A visitor's page, which reads as events come and remembers the place that it has reached."""

    def __init__(self) -> None:
        self.token = ""
        self.place = "0.0"
        self.text = ""
        self.items: list[dict[str, Any]] = []

    def take(self, event: Event) -> None:
        self.place = event.id or self.place
        if event.name == "text":
            self.text += event.data["text"]
        if event.name == "item":
            self.items.append(dict(event.data))

    async def begin(self, process: Serving) -> None:
        async with client_of(process) as client:
            answer = await client.post("/conversations")
            assert answer.status_code == 201, answer.text
            self.token = answer.json()["token"]

    async def ask_until_killed(self, process: Serving, text: str) -> None:
        body = {"id": "message-0001", "text": text}
        async with client_of(process) as client:
            try:
                async with client.stream(
                    "POST", "/conversation/messages", json=body, headers=self.headers
                ) as answer:
                    assert answer.status_code == 200
                    async for block in blocks_of(answer):
                        for event in events_of(block):
                            self.take(event)
                        if self.text.count("word") >= SHOWN:
                            await process.kill()
            except httpx2.TransportError:
                pass

    async def come_back(self, process: Serving) -> None:
        headers = {**self.headers, "Last-Event-ID": self.place}
        async with client_of(process) as client:
            answer = await client.get("/conversation/events", headers=headers)
            for event in events_of(answer.text):
                self.take(event)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def client_of(process: Serving) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=f"{process.url}/api/visitor", timeout=60)


async def blocks_of(answer: httpx2.Response) -> Any:
    rest = ""
    async for piece in answer.aiter_text():
        *blocks, rest = (rest + piece).split("\n\n")
        for block in blocks:
            yield block


@pytest.mark.timeout(180)
async def test_a_reply_goes_on_in_another_process_after_kill_9_and_no_word_comes_twice(
    server: Server, tmp_path: Path
) -> None:
    url = await server.new()
    page = Page()
    async with FaultyServer(SLOW) as model:
        desk = {"provider": "openai_compatible", "base_url": model.base_url, "model_name": "m"}
        variables = {**isolated_environ(tmp_path, **desk), "DATABASE_URL": url}
        variables |= {"ASSISTANT_PROMPT_FILE": str(PROMPTS / "assistant.md")}
        variables |= {"PHRASES_FILE": str(PROMPTS / "phrases.toml")}
        async with serving(tmp_path, **variables) as first:
            await page.begin(first)
            await page.ask_until_killed(first, "Tell me all.")
        shown = page.text
        assert SHOWN <= shown.count("word") < len(WORDS)
        await model.behave(REST)
        async with serving(tmp_path, **variables) as second:
            await page.come_back(second)
    reply = page.items[-1]["text"]
    assert page.items[-1]["role"] == "assistant"
    assert reply.startswith(shown)
    assert reply.endswith("so it ends.")
    assert all(reply.count(word) <= 1 for word in WORDS)
    assert [item["number"] for item in page.items] == [1, 2, 3]
