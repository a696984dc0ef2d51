"""Finds a visitor their room: their own, a shared one, or a new one with an agent on its way."""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from agent.dispatch import Dispatch
from agent.livekit_server import LiveKitServer
from agent.places import Place, PlaceLimits, Refusal, place_for
from agent.receptionist.queue import CallMark, Lines, reception_name
from agent.survival.rescuer import Rescuer
from agent.visits import Visit
from llm_router.clock import Clock, SystemClock
from llm_router.gateway.errors import Problem
from llm_router.gateway.rates import RateLimit

_logger = logging.getLogger("agent.api")

_ADDRESS_WAITS = 30
"""Seconds after which a visitor whose address has too many calls may try again."""
_SITE_WAITS = 10
"""Seconds after which any visitor may try again, when no agent is free."""


async def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceptionOptions:
    agent_name: str
    secret: str = field(repr=False)
    """Key under which the addresses of callers are hashed, since rooms show the hash."""
    join_within: int
    """Seconds in which a visitor must join a new room; the agent waits that long."""
    places: PlaceLimits
    shared_rooms: frozenset[str] = frozenset()
    """The rooms that any visitor may name."""
    rate: RateLimit
    """Limit on the calls that an address may begin."""
    is_full: Callable[[], Awaitable[bool]] = _never
    """Whether workers are running and none of them can take another call."""


class Reception:
    """Gives each visitor a room, with an agent or with the receptionist and a place in the queue.

    The agent is called when the room is made, and never by a visitor's token: a token that is used
    again, or renewed by LiveKit, finds a room without an agent. LiveKit's list of rooms is the
    count of the calls, so it is right after any crash and for several HTTP processes.
    """

    def __init__(
        self,
        livekit: LiveKitServer,
        options: ReceptionOptions,
        clock: Clock | None = None,
        rescuer: Rescuer | None = None,
    ) -> None:
        """Takes a `rescuer` that makes sure that an agent comes; None: each is called once."""
        self._livekit = livekit
        self._options = options
        self._clock = clock or SystemClock()
        self._rescuer = rescuer
        self._opening = asyncio.Lock()

    async def receive(
        self, visit: Visit | None, wish: str | None, address: str, *, assistant: str = ""
    ) -> Visit:
        """Returns the room that the visitor may join, in which an agent is or will be.

        `visit` is their earlier one, if they have proved it. `wish` is a room that they name: it
        counts only if the site shares it. A new room gets the `assistant`; empty: the default one.
        Raises Problem (429, 503) if there is no place, and LiveKitError.
        """
        # The turn to open a room is waited for no longer than LiveKit's answer.
        async with self._livekit.in_time():
            return await self._receive(visit, wish, Dispatch(assistant=assistant), address)

    async def _receive(
        self, visit: Visit | None, wish: str | None, dispatch: Dispatch, address: str
    ) -> Visit:
        shared = wish if wish in self._options.shared_rooms else None
        wanted = shared or (visit.room if visit else "")
        # One at a time, so that visitors who come together are counted.
        async with self._opening:
            rooms = await self._livekit.rooms()
            # A used token opens its room again, without an agent: that one was counted by no rule.
            mark = CallMark.read(rooms.get(wanted, ""), self._options.agent_name)
            is_open = wanted in rooms and (shared or mark)
            if not is_open:
                opened = Visit.begin(visit.identity if visit else "")
                opened = Visit(identity=opened.identity, room=shared or opened.room)
                await self._open(opened.room, rooms, dispatch, address)
                return opened
        name, rescuer = self._options.agent_name, self._rescuer
        if mark is not None and mark.waiting_since is not None:
            await self._livekit.ensure_agent(wanted, reception_name(name))
        else:
            dispatch = dispatch.model_copy(update={"caller": mark.caller if mark else ""})
            next_agent = partial(rescuer.next_agent, wanted, dispatch) if rescuer else None
            await self._livekit.ensure_agent(wanted, name, next_agent=next_agent)
        identity = visit.identity if visit else Visit.begin().identity
        return Visit(identity=identity, room=wanted)

    async def _open(
        self, room: str, rooms: Mapping[str, str], dispatch: Dispatch, address: str
    ) -> None:
        options, name = self._options, self._options.agent_name
        caller = hmac.digest(options.secret.encode(), address.encode(), "sha256").hex()[:16]
        lines = Lines.of(rooms, name)
        is_full = await options.is_full()
        place = place_for(caller, lines.callers, lines.waiting, options.places, is_full=is_full)
        if place in {"address", "site"}:
            raise _problem(place)
        await options.rate.hit(address)
        waits = place == "queue"
        mark = CallMark(caller=caller, waiting_since=self._clock.wall() if waits else None)
        dispatch = dispatch.model_copy(update={"caller": caller})
        await self._livekit.open_room(
            room,
            reception_name(name) if waits else name,
            join_within=options.join_within,
            metadata=mark.to_metadata(name),
            dispatch=dispatch,
        )
        if self._rescuer and not waits:
            self._rescuer.expect(room, dispatch)


def _problem(reason: Place | Refusal) -> Problem:
    if reason == "address":
        return Problem(
            429,
            "too-many-calls",
            "There are as many calls from your address as may be at a time: end one, or try again"
            f" in {_ADDRESS_WAITS} s.",
            {"Retry-After": str(_ADDRESS_WAITS)},
        )
    return Problem(
        503,
        "all-lines-busy",
        f"All lines are busy: try again in {_SITE_WAITS} s.",
        {"Retry-After": str(_SITE_WAITS)},
    )
