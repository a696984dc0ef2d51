"""PostgreSQL and Redis crash and come back in the middle of a spoken reply: no caller hears it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from llm_router.clock import SystemClock
from llm_router.testing.server import Script
from tests.attacks.test_restarts_under_load import Progress, going_on
from tests.calls.test_dead_process import history
from tests.contracts.databases import Postgres, running_postgres
from tests.contracts.redis_server import running_redis
from tests.voice.caller import longest_delay, longest_pause, sentence
from tests.voice.replies import words
from tests.voice.stack import VoiceStack, running_beside

pytestmark = pytest.mark.thorough

EDITORS = 4
BETWEEN = 5
"""Changes of each editor that are acknowledged before the crashes and after the restarts."""
LONGEST_PAUSE = 0.7  # s; the voice itself pauses for 0.4 between two sentences
_UNITS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
REPLY = " ".join(
    f"{ten.capitalize()} {' '.join(f'{ten}{unit}' for unit in _UNITS)}."
    for ten in ("twenty", "thirty", "forty", "fifty", "sixty", "seventy")
)
"""No word comes twice, and the servers crash and come back between them."""


@pytest.fixture
def fragile() -> Iterator[Postgres]:
    """A server that forces what it acknowledges to the disk, and that can crash."""
    with running_postgres() as server:
        yield server


class Editor:
    """Changes one connection over HTTP again and again, each change until it is acknowledged."""

    def __init__(self, client: httpx2.AsyncClient, connection: str) -> None:
        self.connection = connection
        self.acknowledged = Progress()
        self._client = client

    @property
    def path(self) -> str:
        return f"/api/connections/{self.connection}"

    async def edit(self) -> None:
        while True:
            wanted = {"priority": self.acknowledged.count + 1}
            answer = await self._client.patch(self.path, json=wanted)
            if answer.status_code == 200:
                self.acknowledged.add()
            else:
                assert answer.status_code == 503, answer.text
                await SystemClock().sleep(0.05)


@asynccontextmanager
async def editing(stack: VoiceStack) -> AsyncIterator[list[Editor]]:
    """Lets people edit connections that no call uses during the block."""
    key = await asyncio.to_thread(Path(stack.settings["ADMIN_KEY_FILE"]).read_text)
    async with httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{stack.ports.http_port}",
        headers={"Authorization": f"Bearer {key.strip()}"},
        timeout=10,
    ) as client:
        editors = []
        for number in range(EDITORS):
            row = {"name": f"edited {number}", "provider": "offline", "is_active": False}
            made = await client.post("/api/connections", json=row)
            editors.append(Editor(client, made.json()["id"]))
        async with going_on(*(asyncio.create_task(editor.edit()) for editor in editors)):
            yield editors
        for editor in editors:
            stored = (await client.get(editor.path)).json()["priority"]
            # The last change may have been stored and its confirmation lost.
            acknowledged = editor.acknowledged.count
            assert stored in {acknowledged, acknowledged + 1}


async def edited(editors: list[Editor]) -> None:
    """Waits until more changes of each editor were acknowledged."""
    for editor in editors:
        await editor.acknowledged.reaches(editor.acknowledged.count + BETWEEN)


async def test_no_call_notices_and_nothing_acknowledged_is_lost(
    shared_stack: VoiceStack, fragile: Postgres, tmp_path: Path
) -> None:
    async with AsyncExitStack() as opened:
        redis = await opened.enter_async_context(AsyncExitStack())
        port = await redis.enter_async_context(running_redis(tmp_path))
        settings = {
            "DATABASE_URL": await fragile.new(),
            "REDIS_URL": f"redis://127.0.0.1:{port}/0",
            "API_RATE_LIMIT": "100000/minute",
        }
        stack = await opened.enter_async_context(running_beside(shared_stack, tmp_path, **settings))
        await stack.behave(Script(words=words(REPLY), first_token_after=0.15))
        caller = await opened.enter_async_context(stack.call())
        async with editing(stack) as editors:
            await edited(editors)
            asked = await caller.say(sentence("what_time"))
            await caller.wait_until(lambda me: "twentytwo" in me.words(asked))
            await asyncio.to_thread(fragile.control, "crash")
            await redis.aclose()
            await caller.wait_until(lambda me: "thirtyone" in me.words(asked))
            await asyncio.to_thread(fragile.control, "start")
            await caller.wait_until(lambda me: "fortyone" in me.words(asked))
            await redis.enter_async_context(running_redis(tmp_path, port=port))
            await caller.wait_until(lambda me: "seventynine." in me.words(asked), 90)
            await caller.wait_for_silence()
            await edited(editors)
        sound = caller.sound(since=asked)
        assert caller.transcript(by_agent=True, since=asked) == REPLY
        assert longest_pause(sound) <= LONGEST_PAUSE + longest_delay(sound)
        async with asyncio.timeout(30):
            while (said := await history(stack, caller.room.name))[-1].text != REPLY:
                await SystemClock().sleep(0.1)
        assert [item.role for item in said] == ["assistant", "user", "assistant"]
