"""Tests who counts as having left a room, whose own connection may break."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from agent.survival.departures import Departures, is_gone
from llm_router.clock import SystemClock
from llm_router.testing import ManualClock
from tests.rooms import FakeRoom

Scene = Callable[[FakeRoom], Coroutine[Any, Any, None]]


def left(scene: Scene) -> list[tuple[str, float]]:
    """Plays a scene with jumping time; returns who has left, and when (s)."""
    clock, room = ManualClock(), FakeRoom()
    found: list[tuple[str, float]] = []

    async def whole() -> None:
        def note(person: Any) -> None:
            found.append((person.identity, round(clock.now(), 3)))

        departures = Departures(room.room, note)
        await scene(room)
        await moments(100.0)
        departures.close()
        assert not any(room._events.values())

    clock.run(whole())
    return found


async def moments(seconds: float) -> None:
    await SystemClock().sleep(seconds)


def test_one_who_leaves_for_a_reason_has_left_at_once() -> None:
    async def scene(room: FakeRoom) -> None:
        await moments(1.0)
        room.leave(room.enter("ann"), "PARTICIPANT_REMOVED")

    assert left(scene) == [("ann", 1.0)]


def test_one_who_leaves_for_no_reason_has_left_half_a_second_later() -> None:
    async def scene(room: FakeRoom) -> None:
        room.leave(room.enter("ann"), None)

    assert left(scene) == [("ann", 0.5)]


@pytest.mark.parametrize("joins_in", [0.2, 30.0])
def test_those_who_are_back_with_the_connection_have_not_left(joins_in: float) -> None:
    async def scene(room: FakeRoom) -> None:
        people = [room.enter("ann"), room.enter("ben", "STANDARD")]
        for _ in range(2):
            room.lose()
            assert not is_gone(room.room, "ann")
            await moments(joins_in)
            room.is_back(*people)
            await moments(5.0)
            assert not is_gone(room.room, "ann")

    assert left(scene) == []


def test_one_who_comes_back_later_has_not_left_and_one_who_does_not_has() -> None:
    async def scene(room: FakeRoom) -> None:
        room.enter("ann")
        room.enter("ben")
        room.lose()
        await moments(10.0)
        room.is_back()
        assert is_gone(room.room, "ann")
        await moments(40.0)
        room.enter("ann")

    assert left(scene) == [("ben", 70.0)]


def test_it_is_not_known_who_has_left_while_the_connection_stays_broken() -> None:
    async def scene(room: FakeRoom) -> None:
        ann, ben = room.enter("ann"), room.enter("ben")
        room.lose()
        await moments(100.0)
        room.is_back(ann, ben)
        await moments(1.0)
        room.leave(room.remote_participants["ann"])

    assert left(scene) == [("ann", 101.0)]


def test_one_who_leaves_is_not_waited_for_with_those_who_are_not_back() -> None:
    async def scene(room: FakeRoom) -> None:
        ann = room.enter("ann")
        room.enter("ben")
        room.lose()
        room.is_back(ann)
        await moments(1.0)
        room.leave(room.remote_participants["ann"], None)

    assert left(scene) == [("ann", 1.5), ("ben", 60.0)]


def test_nothing_is_reported_after_the_end() -> None:
    found: list[Any] = []

    async def scene() -> None:
        room = FakeRoom()
        departures = Departures(room.room, found.append)
        room.leave(room.enter("ann"), None)
        departures.close()
        await moments(5.0)

    ManualClock().run(scene())
    assert found == []
