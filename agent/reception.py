"""Finds a visitor their room: their own, a shared one, or a new one with an agent on its way."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from agent.dispatch import Dispatch, hash_caller
from agent.livekit_server import LiveKitError, LiveKitServer
from agent.places import PlaceLimits, Refusal, place_for
from agent.receptionist.queue import CallMark, Lines, reception_name
from agent.survival.identity import ROOM_ID, TERMS
from agent.survival.rescuer import Rescuer
from agent.visitor_sites import VisitorSites, modes_of
from agent.visits import Admission, Visit
from llm_router.clock import Clock, SystemClock
from llm_router.errors import BusyError
from llm_router.gateway.errors import Problem
from llm_router.gateway.rates import RateLimit
from llm_router.store.sites import StoredSite
from llm_router.voice.page_context import PageContext

_logger = logging.getLogger("agent.api")

_ADDRESS_WAITS = 30
"""Seconds after which a visitor whose address has too many calls may try again."""
_SITE_WAITS = 10
"""Seconds after which any visitor may try again, when no agent is free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A conversation in writing that goes on in its room, and the agent to call there.

    `is_new`: it was in writing until now; otherwise it is in its room already.
    """

    visit: Visit
    dispatch: Dispatch
    is_new: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """A visitor's earlier visit, the room that they name, and the agent of a new room.

    `needs_room`: no other room than that of the visit will do. `is_new`: its call begins now.
    """

    visit: Visit | None
    room: str | None
    dispatch: Dispatch
    needs_room: bool = False
    is_new: bool = False


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
        sites: VisitorSites | None = None,
    ) -> None:
        """Takes a `rescuer` that makes sure that an agent comes; None: each is called once.

        `sites` counts the calls of visitors of sites; None: there are no sites.
        """
        self._livekit = livekit
        self._options = options
        self._clock = clock or SystemClock()
        self._rescuer = rescuer
        self._sites = sites
        self._opening = asyncio.Lock()

    async def receive(
        self,
        visit: Visit | None,
        wish: str | None,
        address: str,
        *,
        assistant: str = "",
        site: StoredSite | None = None,
        move: Move | None = None,
        context: PageContext | None = None,
    ) -> Admission:
        """Returns the room that the visitor may join, in which an agent is or will be.

        `visit`: their earlier visit, if they have proved it. `wish`: a room that they name, which
        counts only if the site shares it. A new room gets the `assistant` (empty: the default one)
        and the page's `context`. A visitor of a `site` gets the site's assistant, within the site's
        limits; one who returns to their room is bound by the site from which its call began.
        `move`: the conversation in writing that goes on in a room of its own name; that is a call,
        with the limits of any other. Raises BusyError if the store says that the conversation is in
        its room, but the room does not exist; Problem (429, 503) if there is no place; LiveKitError
        and StoreError.
        """
        # The turn to open a room is waited for no longer than LiveKit's answer.
        async with self._livekit.in_time():
            if site:
                assistant = site.record.assistant
            if move is None:
                wished = Wish(visit, wish, Dispatch(assistant=assistant, context=context))
            else:
                moved = move.dispatch.model_copy(update={"context": context})
                wished = Wish(move.visit, None, moved, needs_room=True, is_new=move.is_new)
            return await self._receive(wished, address, site)

    async def is_waiting(self, room: str) -> bool:
        """Returns whether the visitor of a room waits for a line; False while LiveKit is away."""
        try:
            rooms = await self._livekit.rooms()
        except LiveKitError:
            return False
        mark = CallMark.read(rooms.get(room, ""), self._options.agent_name)
        return mark is not None and mark.waiting_since is not None

    async def _receive(
        self,
        wished: Wish,
        address: str,
        site: StoredSite | None,
    ) -> Admission:
        visit, dispatch = wished.visit, wished.dispatch
        shared = wished.room if wished.room in self._options.shared_rooms else None
        wanted = shared or (visit.room if visit else "")
        # One at a time, so that visitors who come together are counted.
        async with self._opening:
            rooms = await self._livekit.rooms()
            # What is left of an earlier call in the room is no place for one that begins.
            mark = None if wished.is_new else await self._mark(rooms, wanted, shared, visit)
            is_open = mark or (shared and wanted in rooms)
            if not is_open:
                if wished.needs_room and not wished.is_new:
                    raise BusyError("the conversation is about to move: try again", 1.0)
                opened = Visit.begin(visit.identity if visit else "")
                if visit and wished.is_new:
                    opened = visit
                opened = Visit(identity=opened.identity, room=shared or opened.room)
                await self._open(opened.room, rooms, dispatch, address, site)
                return Admission(visit=opened, modes=modes_of(site))
        modes = modes_of(site)
        if self._sites and mark and not shared:
            modes = await self._sites.modes_in(mark.site)
        name, rescuer = self._options.agent_name, self._rescuer
        if mark is not None and mark.waiting_since is not None:
            await self._livekit.ensure_agent(wanted, reception_name(name))
        else:
            dispatch = dispatch.model_copy(update={"caller": mark.caller if mark else ""})
            next_agent = partial(rescuer.next_agent, wanted, dispatch) if rescuer else None
            await self._livekit.ensure_agent(wanted, name, next_agent=next_agent)
        identity = visit.identity if visit else Visit.begin().identity
        return Admission(visit=Visit(identity=identity, room=wanted), modes=modes)

    async def _mark(
        self, rooms: Mapping[str, str], room: str, shared: str | None, visit: Visit | None
    ) -> CallMark | None:
        """Returns the mark of a call that goes on in the room; None: none does."""
        # A used token opens its room again, without an agent: that one was counted by no rule.
        mark = CallMark.read(rooms.get(room, ""), self._options.agent_name)
        return await self._restore(room) if mark is None and visit and not shared else mark

    async def _restore(self, room: str) -> CallMark | None:
        """Opens the room of a call again that LiveKit lost as it was started anew.

        Returns its mark; None: no call of an agent goes on that was in such a room.
        """
        call = (await self._rescuer.going_on(room))[1] if self._rescuer else None
        if call is None or call.state != "agent" or not call.metadata.get(ROOM_ID):
            return None
        site = (call.metadata.get(TERMS) or {}).get("site", "")
        mark = CallMark(caller=call.caller, site=site)
        metadata = mark.to_metadata(self._options.agent_name)
        await self._livekit.restore_room(room, metadata, join_within=self._options.join_within)
        return mark

    async def _open(
        self,
        room: str,
        rooms: Mapping[str, str],
        dispatch: Dispatch,
        address: str,
        site: StoredSite | None,
    ) -> None:
        options, name = self._options, self._options.agent_name
        caller = hash_caller(address, options.secret)
        lines = Lines.of({other: mark for other, mark in rooms.items() if other != room}, name)
        is_full = await options.is_full()
        place = place_for(caller, lines.callers, lines.waiting, options.places, is_full=is_full)
        if place in {"address", "total"} or (site and not _has_place(site, lines)):
            whose = "with your key" if dispatch.trial else "from your address"
            raise _problem("address" if place == "address" else "total", whose)
        await options.rate.hit(address)
        terms = await self._sites.admit(site, caller) if site and self._sites else None
        waits = place == "queue"
        mark = CallMark(
            caller=caller,
            site=site.record.name if site else "",
            waiting_since=self._clock.wall() if waits else None,
        )
        dispatch = dispatch.model_copy(update={"caller": caller, "terms": terms})
        if room in rooms:
            await self._livekit.close_room(room)
        await self._livekit.open_room(
            room,
            reception_name(name) if waits else name,
            join_within=options.join_within,
            metadata=mark.to_metadata(name),
            dispatch=dispatch,
        )
        if self._rescuer and not waits:
            self._rescuer.expect(room, dispatch)


def _has_place(site: StoredSite, lines: Lines) -> bool:
    """Returns whether the site may have one more call at a time; callers who wait count."""
    most = site.record.calls_at_once
    return most is None or lines.sites.count(site.record.name) < most


def _problem(reason: Refusal, whose: str) -> Problem:
    if reason == "address":
        return Problem(
            429,
            "too-many-calls",
            f"There are as many calls {whose} as may be at a time: end one, or try again in"
            f" {_ADDRESS_WAITS} s.",
            {"Retry-After": str(_ADDRESS_WAITS)},
        )
    return Problem(
        503,
        "all-lines-busy",
        f"All lines are busy: try again in {_SITE_WAITS} s.",
        {"Retry-After": str(_SITE_WAITS)},
    )
