"""Has calls go on in a store, written as agents write them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.console.stock import Stock, make_item
from llm_router.clock import SystemClock, utc_now
from llm_router.store.calls import CallStore
from llm_router.voice.calls import CallAgent, CallFacts
from tests.contracts.databases import opened

_CLOCK = SystemClock()
_NOTES = 2
"""Notes a second of how far the reply is."""


@dataclass
class Live:
    written: int = 0
    """Changes of all calls so far."""


@asynccontextmanager
async def live_calls(stock: Stock, number: int) -> AsyncIterator[Live]:
    """Begins so many calls, in each of which something is said once a second, and ends them."""
    live = Live()
    async with opened(stock.url) as database:
        calls = CallStore(database)
        async with asyncio.TaskGroup() as group:
            going = [
                group.create_task(_talk(calls, each, number, stock, live)) for each in range(number)
            ]
            try:
                yield live
            finally:
                for task in going:
                    task.cancel()


async def _talk(calls: CallStore, place: int, number: int, stock: Stock, live: Live) -> None:
    agent = CallAgent(identity="agent", worker=f"worker-{place % 5}", job=f"job-{place}")
    facts = CallFacts(kind="phone" if place % 3 else "web", assistant="shop", keep="transcript")
    call = await calls.claim(f"live-{place}", 1, agent, utc_now(_CLOCK), facts)
    assert call is not None
    sample = stock.samples[place % len(stock.samples)]
    begins = _CLOCK.now() + place / number
    said = 0
    while True:
        await _CLOCK.sleep(max(0.0, begins + said - _CLOCK.now()))
        now = utc_now(_CLOCK)
        await calls.append(call.id, [make_item(said, sample, now)], now)
        live.written += 1
        said += 1
        for note in range(1, _NOTES):
            await _CLOCK.sleep(max(0.0, begins + said - 1 + note / _NOTES - _CLOCK.now()))
            await calls.note(call.id, 1, utc_now(_CLOCK), voiced="We open at nine in")
