"""Tests who owns the replies in writing that a process begins."""

import asyncio
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, cast

from agent.text.writers import Writers
from llm_router.testing import ManualClock


async def test_a_reply_that_is_claimed_while_its_process_closes_is_left_to_another() -> None:
    writers = Writers(cast(Any, None), cast(Any, None), ManualClock())
    await writers.aclose()
    call = SimpleNamespace(id="c1", room="r1", voiced="", items=0, epoch=1)
    asked = SimpleNamespace(call=call, answerer=SimpleNamespace(redacts_cards=False), new=())
    given_back: list[str] = []
    place = ExitStack()
    place.callback(given_back.append, "place")
    writers.start(cast(Any, asked), cast(Any, None), place)
    assert given_back == ["place"]
    assert writers.draft_in("r1") is None
    assert asyncio.all_tasks() == {asyncio.current_task()}
