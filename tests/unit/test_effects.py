"""A tool that changes something runs once in a call, whatever becomes of the turn that asked."""

import asyncio

import pytest

from agent.toolbox.effects import Effects, NotDoneError, OutcomeUnknownError
from agent.toolbox.errors import ToolError
from llm_router.clock import checkpoint
from llm_router.testing import ManualClock

ORDER = {"item": "tea", "count": 2}


class Shop:
    """Counts the orders it was given, with their keys."""

    def __init__(self, *failures: Exception) -> None:
        self.keys: list[str] = []
        self.failures = [*failures]
        self.open = asyncio.Event()
        self.open.set()

    async def order(self, key: str) -> str:
        self.keys.append(key)
        await self.open.wait()
        if self.failures:
            raise self.failures.pop(0)
        return f"order {len(self.keys)}"


async def test_the_same_call_of_a_tool_again_gets_the_result_of_the_first() -> None:
    effects, shop = Effects("call-1"), Shop()
    assert await effects.once("order", ORDER, shop.order) == "order 1"
    again = await effects.once("order", {"count": 2, "item": "tea"}, shop.order)
    assert again == "Done already in this call, and not repeated. The result was: order 1"
    assert len(shop.keys) == 1


async def test_other_arguments_and_other_tools_are_other_runs() -> None:
    effects, shop = Effects("call-1"), Shop()
    await effects.once("order", ORDER, shop.order)
    await effects.once("order", {**ORDER, "count": 3}, shop.order)
    await effects.once("reorder", ORDER, shop.order)
    assert len({*shop.keys}) == 3


async def test_a_turn_that_is_cancelled_leaves_the_run_under_way_and_the_next_joins_it() -> None:
    effects, shop = Effects("call-1"), Shop()
    shop.open.clear()
    first = asyncio.create_task(effects.once("order", ORDER, shop.order))
    second = asyncio.create_task(effects.once("order", ORDER, shop.order))
    await checkpoint()
    await checkpoint()
    first.cancel()
    shop.open.set()
    assert "order 1" in await second
    assert len(shop.keys) == 1
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_run_that_certainly_changed_nothing_may_be_repeated_with_the_same_key() -> None:
    effects, shop = Effects("call-1"), Shop(NotDoneError("refused"))
    with pytest.raises(NotDoneError):
        await effects.once("order", ORDER, shop.order)
    assert await effects.once("order", ORDER, shop.order) == "order 2"
    assert len({*shop.keys}) == 1


@pytest.mark.parametrize("failure", [ToolError("no answer"), ValueError("a bug")])
async def test_a_run_of_unknown_outcome_is_never_repeated(failure: Exception) -> None:
    effects, shop = Effects("call-1"), Shop(failure)
    for _ in range(2):
        with pytest.raises(OutcomeUnknownError, match="Do not repeat it") as raised:
            await effects.once("order", ORDER, shop.order)
        assert "a bug" not in raised.value.message
    assert len(shop.keys) == 1


async def test_a_run_that_a_lost_process_began_is_not_begun_again() -> None:
    effects, shop = Effects("call-1"), Shop()
    effects.recall("order", ORDER, None)
    with pytest.raises(OutcomeUnknownError):
        await effects.once("order", ORDER, shop.order)
    assert not shop.keys


async def test_a_run_that_an_earlier_agent_finished_gives_its_result_again() -> None:
    effects, shop = Effects("call-1"), Shop()
    effects.recall("order", ORDER, "order 7")
    assert "order 7" in await effects.once("order", {**ORDER, "note": ""}, shop.order)
    assert not shop.keys


async def test_the_key_is_the_same_in_another_process_of_the_call_and_differs_between_calls() -> (
    None
):
    keys = {Effects(call).key("order", ORDER) for call in ("call-1", "call-1", "call-2")}
    assert len(keys) == 2


async def test_a_call_that_does_things_without_end_is_stopped() -> None:
    effects, shop = Effects("call-1"), Shop()
    for count in range(100):
        await effects.once("order", {"count": count}, shop.order)
    with pytest.raises(ToolError, match="too much"):
        await effects.once("order", {"count": 100}, shop.order)
    assert len(shop.keys) == 100


async def test_runs_of_earlier_agents_are_not_too_many() -> None:
    effects, shop = Effects("call-1"), Shop()
    for count in range(200):
        effects.recall("find", {"count": count}, "found")
    assert await effects.once("order", ORDER, shop.order) == "order 1"


async def test_a_redacted_run_of_an_earlier_agent_is_known_and_own_runs_are_distinct() -> None:
    effects, shop = Effects("call-1"), Shop()
    cards = [{"card": "4111 1111 1111 1111"}, {"card": "5500 0000 0000 0004"}]
    effects.recall("order", {"card": "[card number]"}, None)
    for card in cards:
        with pytest.raises(OutcomeUnknownError):
            await effects.once("order", card, shop.order)
    for card in cards:
        await effects.once("pay", card, shop.order)
    assert len(shop.keys) == 2


async def test_the_end_of_a_call_lets_a_run_end() -> None:
    effects, shop = Effects("call-1"), Shop()
    shop.open.clear()
    asking = asyncio.create_task(effects.once("order", ORDER, shop.order))
    await checkpoint()
    asyncio.get_running_loop().call_soon(shop.open.set)
    await effects.aclose()
    assert await asking == "order 1"


def test_the_end_of_a_call_cancels_a_run_that_does_not_end() -> None:
    async def main() -> bool:
        effects = Effects("call-1")
        shop = Shop()
        shop.open.clear()
        asking = asyncio.create_task(effects.once("order", ORDER, shop.order))
        await checkpoint()
        await checkpoint()
        await effects.aclose()
        await asyncio.wait([asking])
        return asking.cancelled()

    assert ManualClock().run(main())
