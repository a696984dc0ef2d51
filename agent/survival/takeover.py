"""Reads what the agent before has left of a call, for the one that takes it over."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from livekit.agents import llm

from agent.dispatch import Dispatch
from agent.survival.remains import language_of, left_items
from agent.survival.restore import Resumption, resume, used_so_far
from llm_router.clock import Clock, utc_now
from llm_router.errors import NotFoundError, StoreError
from llm_router.voice.calls import Call, CallItem, CallPort, answered_by

_logger = logging.getLogger("agent")

_STORE_WITHIN = 1.0
"""Seconds for the database: a caller is waiting."""


class StaleError(Exception):
    """Another agent answers the call already."""


async def take_over(
    calls: CallPort,
    room: str,
    dispatch: Dispatch,
    clock: Clock,
    *,
    greeting: str,
    phrase: Callable[[str, str], str],
) -> Resumption:
    """Returns where the agent of this dispatch goes on. Raises StaleError if it comes too late.

    Where the conversation cannot be read, the agent greets a caller whom no agent has met, and
    apologises to one who has lost theirs. `phrase` returns the words for an occasion in a language;
    empty: the call's first.
    """
    gap = clock.wall() - dispatch.lost_at if dispatch.lost_at else 0.0
    found = await _read(calls, room)
    if found is None:
        is_new = not dispatch.planned and not dispatch.lost_at
        opening = greeting if is_new else "" if dispatch.planned else phrase("away", "")
        return Resumption(
            context=llm.ChatContext.empty(), opening=opening, in_history=is_new, is_first=is_new
        )
    call, items = found
    if call.epoch > dispatch.epoch:
        raise StaleError
    language = language_of(items)
    resumption = resume(
        call,
        items,
        gap=gap,
        greeting=greeting,
        apology=phrase("away", language),
        cut=phrase("transfer.cut", language),
    )
    if dispatch.returned:
        back = phrase("supervision.back", language)
        resumption = replace(
            resumption, opening=back, in_history=True, owes_reply=False, is_first=False
        )
    now = utc_now(clock)
    if left := left_items(resumption.half, resumption.lost, dispatch.epoch, now):
        await _store(calls, call.id, left, now)
    so_far = used_so_far(call, items, now)
    is_machine = answered_by(call) == "machine"
    return replace(resumption, so_far=so_far, language=language, is_machine=is_machine)


async def _read(calls: CallPort, room: str) -> tuple[Call, list[CallItem]] | None:
    try:
        async with asyncio.timeout(_STORE_WITHIN):
            return await calls.history(room)
    except (StoreError, TimeoutError) as error:
        _logger.warning("what was said in room %s is lost to its next agent: %s", room, error)
        return None


async def _store(calls: CallPort, call_id: str, items: Sequence[CallItem], now: datetime) -> None:
    try:
        async with asyncio.timeout(_STORE_WITHIN):
            await calls.append(call_id, items, now)
    except (StoreError, NotFoundError, TimeoutError):
        _logger.debug("what an agent has left of a call is not stored", exc_info=True)
