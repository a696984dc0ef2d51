"""Two agents of a call are never in its room together for longer than one needs to leave."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from agent.receptionist.presence import wait_until_left
from agent.survival.fence import Fence
from agent.survival.identity import epoch_in, identity_of
from llm_router.testing import ManualClock
from tests.rooms import FakeRoom

ROOM = "call-2"


class Room(FakeRoom):
    """A room in which this agent is, with others."""

    def __init__(self, identity: str, *others: str) -> None:
        super().__init__()
        self.name = ROOM
        self.local_participant = SimpleNamespace(identity=identity)
        self.is_open = True
        for other in others:
            self.enter(other, "AGENT", "")

    def isconnected(self) -> bool:
        return self.is_open

    async def disconnect(self) -> None:
        self.is_open = False


@pytest.mark.parametrize(
    ("other", "leaves"),
    [
        (identity_of(ROOM, 3), True),
        (identity_of(ROOM, 1), False),
        (identity_of("call", 3), False),
        ("agent-AJ_own", False),
        ("caller", False),
    ],
)
async def test_an_agent_leaves_when_a_later_one_joins_and_ends_then(
    other: str, *, leaves: bool
) -> None:
    room, ended = Room(identity_of(ROOM, 2)), list[bool]()
    fence = Fence(room.room, lambda _: ended.append(room.is_open))
    room.enter(other)
    room.enter(other)
    await fence.aclose()
    assert ended == ([False] if leaves else [])
    assert room.is_open != leaves


async def test_an_agent_that_comes_after_a_later_one_leaves() -> None:
    room, ended = Room(identity_of(ROOM, 2), identity_of(ROOM, 3)), list[str]()
    fence = Fence(room.room, ended.append)
    fence.check()
    await fence.aclose()
    assert len(ended) == 1


def spoken_at(room: Room, happens: Callable[[], None], at: float = 1.0) -> float:
    """Returns when an agent may speak in a room in which something happens (s)."""
    clock = ManualClock()

    async def main() -> float:
        asyncio.get_running_loop().call_later(at, happens)
        await wait_until_left(room.room)
        return clock.now()

    return clock.run(main())


@pytest.mark.parametrize("earlier", [True, False])
def test_an_agent_does_not_speak_before_an_earlier_one_has_left(*, earlier: bool) -> None:
    other = identity_of(ROOM, 1 if earlier else 3)
    room = Room(identity_of(ROOM, 2), other)
    at = spoken_at(room, lambda: room.leave(room.remote_participants[other]))
    assert at == pytest.approx(1.0 if earlier else 0.0)


def test_an_agent_whose_connection_breaks_does_not_take_an_earlier_one_for_gone() -> None:
    earlier = identity_of(ROOM, 1)
    room = Room(identity_of(ROOM, 2), earlier)

    def breaks() -> None:
        [other] = room.remote_participants.values()
        room.lose()
        asyncio.get_running_loop().call_later(2.0, room.is_back, other)
        asyncio.get_running_loop().call_later(3.0, leaves)

    def leaves() -> None:
        room.leave(room.remote_participants[earlier])

    assert spoken_at(room, breaks) == pytest.approx(4.0)


@pytest.mark.parametrize("room", ["call-2", "r" * 200, "ü-1"])
@pytest.mark.parametrize("epoch", [1, 12])
def test_an_identity_names_its_epoch_in_its_own_room_alone(room: str, epoch: int) -> None:
    assert epoch_in(identity_of(room, epoch), room) == epoch
    assert epoch_in(identity_of(room, epoch), f"{room}x") == 0
    assert epoch_in(f"agent-{room}-{'9' * 5000}", room) == 0
