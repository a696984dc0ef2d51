"""Tells participants who have left a room from those of whom LiveKit's client has lost sight.

A client that joins its room anew says that everybody has left it, up to 0.3 s before it says that
it joins anew; they are back with it, or later. Code that ends something because a participant is
gone learns of it here, and not from LiveKit's event.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from livekit import rtc
from livekit.rtc.room import EventTypes

from llm_router.clock import Clock, SystemClock, Timer

_LOST_WITHIN = 0.5
"""Seconds in which LiveKit's client says that it joins the room anew, once it has said that
everybody has left, for no reason."""
_BACK_WITHIN = 60.0
"""Seconds in which a participant must be back once the client is: more than their client takes."""


def is_gone(room: rtc.Room, identity: str) -> bool:
    """Returns whether a participant is not there. One who is not seen because the connection is
    broken is not gone.
    """
    is_whole = room.connection_state == rtc.ConnectionState.CONN_CONNECTED
    return is_whole and identity not in room.remote_participants


class Departures:
    """Gives `on_left` each participant who has left a room from now on. Close it at the end.

    One who leaves while the connection is whole, and for a reason, is reported at once. Any other
    is reported 0.5 s later, or 60 s after the connection is whole again, unless they are back.
    """

    def __init__(
        self,
        room: rtc.Room,
        on_left: Callable[[rtc.RemoteParticipant], object],
        clock: Clock | None = None,
    ) -> None:
        self._room = room
        self._report = on_left
        self._clock = clock or SystemClock()
        self._lost: dict[str, rtc.RemoteParticipant] = {}
        """The participants of whom it is not known yet, by identity."""
        self._timers: dict[str, Timer] = {}
        self._events: Mapping[EventTypes, Callable[..., None]] = {
            "participant_connected": self._on_person,
            "participant_disconnected": self._on_left,
            "reconnecting": self._stop,
            "reconnected": self._on_back,
        }
        for event, follow in self._events.items():
            room.on(event, follow)

    def close(self) -> None:
        """Reports no one from now on."""
        for event, follow in self._events.items():
            self._room.off(event, follow)
        self._stop()

    def _on_left(self, person: rtc.RemoteParticipant) -> None:
        is_whole = self._room.connection_state == rtc.ConnectionState.CONN_CONNECTED
        if is_whole and person.disconnect_reason is not None:
            self._report(person)
            return
        self._lost[person.identity] = person
        if is_whole:
            self._decide_in(_LOST_WITHIN, person.identity)

    def _on_person(self, person: rtc.RemoteParticipant) -> None:
        self._lost.pop(person.identity, None)
        if timer := self._timers.pop(person.identity, None):
            timer.cancel()

    def _on_back(self) -> None:
        for identity in self._lost:
            self._decide_in(_BACK_WITHIN, identity)

    def _stop(self, *_: Any) -> None:
        while self._timers:
            self._timers.popitem()[1].cancel()

    def _decide_in(self, seconds: float, identity: str) -> None:
        decide = partial(self._decide, identity)
        self._timers[identity] = self._clock.call_at(self._clock.now() + seconds, decide)

    def _decide(self, identity: str) -> None:
        del self._timers[identity]
        person = self._lost.pop(identity)
        if identity not in self._room.remote_participants:
            self._report(person)
