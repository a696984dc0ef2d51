"""Follows a stored call while it goes on, by reading the store once a second."""

import math
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal

from llm_router.clock import Clock
from llm_router.store.calls import CallStore
from llm_router.voice.calls import Call, CallItem

EVERY = 1.0
"""Seconds between two readings."""
_PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class CallNews:
    """One piece of news of a call: a new `item`, the `call` in another state, or its `end`.

    `after`: the number of the last item so far. `item` is None but for the first kind.
    """

    kind: Literal["item", "call", "end"]
    after: int
    call: Call
    item: CallItem | None = None


async def follow(
    calls: CallStore, call_id: str, clock: Clock, *, after: int = 0, seconds: float = math.inf
) -> AsyncGenerator[CallNews | None, None]:
    """Yields the news of a call after the item `after`, and None for a reading without any.

    It ends with the call's `end`, or after so many seconds. Raises NotFoundError and StoreError.
    """
    until = clock.now() + seconds
    shown: Call | None = None
    while True:
        call, items = await calls.read(call_id, after=after, limit=_PAGE)
        for item in items:
            after = item.number
            yield CallNews(kind="item", after=after, call=call, item=item)
        has_changed = shown is None or _state(call) != _state(shown)
        if has_changed:
            shown = call
            yield CallNews(kind="call", after=after, call=call)
        if call.state == "ended" and not items:
            yield CallNews(kind="end", after=after, call=call)
            return
        if clock.now() >= until:
            return
        if not items and not has_changed:
            yield None
        if len(items) < _PAGE:
            await clock.sleep(EVERY)


def _state(call: Call) -> tuple[object, ...]:
    return call.state, call.epoch, call.agent, call.answered_at, call.kind, call.voiced
