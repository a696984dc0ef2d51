"""Floods the HTTP process with requests for tokens, and asks for its page meanwhile."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2

from llm_router.clock import SystemClock
from tests.voice.stack import VoiceStack

STOLEN_BY = "https://blog.example"
_AT_A_TIME = 50
_ASKED = ("/", "/widget.js", "/healthz")


@dataclass
class Flooded:
    """The statuses of the answers; and of the page, with the time (s) that each took."""

    answers: Counter[int] = field(default_factory=Counter)
    page: list[tuple[int, float]] = field(default_factory=list)


async def flood(stack: VoiceStack, key: str, requests: int) -> Flooded:
    """Sends so many requests: every second one with the key from a page of another origin, from one
    address; the others with made-up keys, from everywhere. The HTTP process must trust the headers
    of this machine.
    """
    flooded, numbers = Flooded(), itertools.count()
    limits = httpx2.Limits(max_connections=_AT_A_TIME)
    address = f"http://127.0.0.1:{stack.ports.http_port}"

    async with httpx2.AsyncClient(limits=limits, timeout=60) as client:

        async def ask() -> None:
            while (number := next(numbers)) < requests:
                own = {"X-Forwarded-For": f"198.18.{number // 250}.{number % 250}"}
                stolen = {"X-Forwarded-For": "203.0.113.5", "Origin": STOLEN_BY}
                is_stolen = bool(number % 2)
                answer = await client.post(
                    f"{address}/token",
                    params={"site": key if is_stolen else f"site_made-up-{number}"},
                    headers=stolen if is_stolen else own,
                )
                flooded.answers[answer.status_code] += 1

        async with _asked_for(address, _ASKED, flooded.page), asyncio.TaskGroup() as asking:
            for _ in range(_AT_A_TIME):
                asking.create_task(ask())
    return flooded


@asynccontextmanager
async def _asked_for(
    address: str, paths: Sequence[str], taken: list[tuple[int, float]]
) -> AsyncIterator[None]:
    """Asks for the paths in turn while the block runs."""
    clock = SystemClock()

    async def visit() -> None:
        async with httpx2.AsyncClient(timeout=60) as client:
            for path in itertools.cycle(paths):
                began = clock.now()
                answer = await client.get(f"{address}{path}")
                taken.append((answer.status_code, clock.now() - began))
                await clock.sleep(0.1)

    visiting = asyncio.create_task(visit())
    try:
        yield
    finally:
        visiting.cancel()
        await asyncio.wait([visiting])
