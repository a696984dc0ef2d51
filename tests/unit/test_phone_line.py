"""Tests when a telephone counts as picked up, and what ends with its caller."""

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.agents import AgentSession

from agent.phone.line import (
    LONGEST_RING,
    Line,
    find_phone,
    wait_for_phone,
    wait_until_answered,
    wait_until_audible,
)
from llm_router.clock import SystemClock
from llm_router.testing import ManualClock
from tests.rooms import FakeRoom

Scene = Callable[["House"], Coroutine[Any, Any, None]]


class House(FakeRoom):
    """A room that telephones come to and leave, with a session in it."""

    def __init__(self) -> None:
        super().__init__()
        self.shutdowns = 0
        self.session = cast("AgentSession[Any]", SimpleNamespace(shutdown=self._shutdown))

    def _shutdown(self, *, drain: bool) -> None:
        assert not drain
        self.shutdowns += 1


def play(scene: Scene) -> None:
    clock = ManualClock()

    async def run() -> None:
        await scene(House())

    clock.run(run())


@pytest.mark.parametrize("status", ["active", ""])
def test_a_telephone_in_use_or_of_unknown_state_is_picked_up(status: str) -> None:
    async def scene(house: House) -> None:
        assert await wait_until_answered(house.room, house.enter(status=status))

    play(scene)


def test_an_agent_waits_for_the_pick_up_however_long_it_rings() -> None:
    async def scene(house: House) -> None:
        phone = house.enter(status="dialing")
        waiting = asyncio.ensure_future(wait_until_answered(house.room, phone))
        for status in ("ringing", "automation"):
            await SystemClock().sleep(30)
            house.become(phone, status)
            await SystemClock().sleep(0)
            assert not waiting.done()
        house.become(phone, "active")
        assert await waiting

    play(scene)


def test_a_telephone_that_leaves_or_rings_for_ever_is_not_picked_up() -> None:
    async def scene(house: House) -> None:
        phone = house.enter()
        waiting = asyncio.ensure_future(wait_until_answered(house.room, phone))
        await SystemClock().sleep(1)
        house.leave(phone)
        assert not await waiting
        began = asyncio.get_running_loop().time()
        assert not await wait_until_answered(house.room, house.enter())
        assert asyncio.get_running_loop().time() - began == pytest.approx(LONGEST_RING)
        assert not house._events.get("participant_disconnected")

    play(scene)


def test_a_telephone_that_is_lost_with_livekit_is_still_awaited() -> None:
    async def scene(house: House) -> None:
        phone = house.enter()
        waiting = asyncio.ensure_future(wait_until_answered(house.room, phone))
        await SystemClock().sleep(1)
        house.lose()
        await SystemClock().sleep(3)
        house.is_back(phone)
        await SystemClock().sleep(1)
        assert not waiting.done()
        house.become(house.remote_participants["sip"], "active")  # another object than before
        assert await waiting

    play(scene)


def test_a_session_without_a_room_is_audible() -> None:
    async def scene(_: House) -> None:
        assert await wait_until_audible(AgentSession())

    play(scene)


def test_a_telephone_is_found_among_others_or_awaited_for_a_moment() -> None:
    async def scene(house: House) -> None:
        house.enter("page", "STANDARD")
        assert find_phone(house.room) is None
        assert await wait_for_phone(house.room, 2.0) is None
        waiting = asyncio.ensure_future(wait_for_phone(house.room, 2.0))
        await SystemClock().sleep(1)
        phone = house.enter()
        assert await waiting is phone

    play(scene)


def test_a_session_whose_caller_has_left_before_its_start_ends_then() -> None:
    async def scene(house: House) -> None:
        caller = house.enter()
        line = Line(house.session, house.room)
        line.follow()
        house.leave(caller)
        assert (house.shutdowns, line.has_left) == (0, True)
        line.start()
        assert house.shutdowns == 1

    play(scene)


def test_a_session_whose_caller_gave_up_before_it_came_ends_soon() -> None:
    async def scene(house: House) -> None:
        line = Line(house.session, house.room)
        line.follow()
        line.start(is_inbound=True)
        await SystemClock().sleep(4.9)
        assert (house.shutdowns, line.has_left) == (0, False)
        await SystemClock().sleep(0.2)
        assert (house.shutdowns, line.has_left) == (1, True)

    play(scene)


@pytest.mark.parametrize("is_inbound", [True, False])
def test_a_session_whose_caller_comes_late_goes_on(is_inbound: bool) -> None:
    async def scene(house: House) -> None:
        line = Line(house.session, house.room)
        line.follow()
        line.start(is_inbound=is_inbound)
        await SystemClock().sleep(4 if is_inbound else 40)
        house.enter()
        await SystemClock().sleep(40)
        assert (house.shutdowns, line.has_left) == (0, False)

    play(scene)


def test_a_session_ends_with_its_caller_and_with_no_other_telephone() -> None:
    async def scene(house: House) -> None:
        caller = house.enter()
        line = Line(house.session, house.room)
        line.follow()
        line.start()
        colleague = house.enter("other")
        house.leave(colleague)
        assert (house.shutdowns, line.has_left) == (0, False)
        house.leave(caller)
        assert (house.shutdowns, line.has_left) == (1, True)

    play(scene)


def test_a_caller_who_is_lost_with_livekit_has_not_hung_up() -> None:
    async def scene(house: House) -> None:
        caller = house.enter()
        line = Line(house.session, house.room)
        line.follow()
        line.start()
        house.connection_state = rtc.ConnectionState.CONN_RECONNECTING
        house.leave(caller)
        assert (house.shutdowns, line.has_left) == (0, False)
        house.connection_state = rtc.ConnectionState.CONN_CONNECTED
        house.leave(house.enter())
        assert (house.shutdowns, line.has_left) == (1, True)

    play(scene)


def started(house: House) -> Line:
    line = Line(house.session, house.room)
    line.follow()
    line.start()
    return line


@pytest.mark.parametrize("is_back", [True, False])
def test_a_caller_who_is_gone_because_the_agent_joins_anew_has_not_hung_up(is_back: bool) -> None:
    async def scene(house: House) -> None:
        caller = house.enter()
        line = started(house)
        house.lose()
        await SystemClock().sleep(3)
        house.is_back(*[caller] if is_back else [])
        await SystemClock().sleep(10)
        assert (house.shutdowns, line.has_left) == (0, False)

    play(scene)


def test_a_session_ends_with_a_caller_who_leaves_for_a_reason_that_is_not_known() -> None:
    async def scene(house: House) -> None:
        caller = house.enter()
        line = started(house)
        house.leave(caller, reason=None)
        assert not line.has_left
        await SystemClock().sleep(0.6)
        assert (house.shutdowns, line.has_left) == (1, True)

    play(scene)
