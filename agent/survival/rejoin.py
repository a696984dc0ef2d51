"""Keeps a call together while LiveKit's server is away, and once it has been started anew.

LiveKit's client joins the room again by itself, and gives up after 50 s or so. A server that was
started anew makes another room of the same name. It knows neither the room's description nor the
state that the agent shows, and callers do not get the rest of a text that was under way.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.types import (
    ATTRIBUTE_AGENT_STATE,
    ATTRIBUTE_TRANSCRIPTION_FINAL,
    ATTRIBUTE_TRANSCRIPTION_SEGMENT_ID,
    TOPIC_TRANSCRIPTION,
)
from livekit.agents.utils import shortuuid
from livekit.agents.voice.io import TextOutput
from livekit.rtc.room import EventTypes

from agent.survival.hold import Hold
from llm_router.clock import Clock
from llm_router.periodic import log_bug

_logger = logging.getLogger("agent")

_CALLER_WITHIN = 60.0
"""Seconds in which the caller must have joined again: more than their client takes."""
_LATER_WITHIN = 8.0
"""Seconds in which an agent must find its caller in a room that went on without it. One who has
hung up meanwhile does not come, and LiveKit would leave the agent in the empty room for 20 s."""
_AUDIBLE_WITHIN = 0.75
"""Seconds for the caller's client to receive the agent's voice again: it takes half of that, and
LiveKit does not always say so."""
_ON_THE_WAY = 0.15
"""Seconds before the loss was noticed in which words may not have come to the caller."""
_STEP_WITHIN = 3.0
"""Seconds for a part of what the room gets back: the caller waits for the voice meanwhile."""
_MOST_WORDS = 50
"""Pieces of text that are sent again."""

Describe = Callable[[str, str], Awaitable[None]]
"""Gives a room, by its name, its metadata."""


class Rejoin(TextOutput):
    """Holds an agent's words while its sound is cut off, and goes on once the caller is back.

    LiveKit's client first tries to resume its connection, which takes 3 s or so. The sound goes on
    meanwhile, and so does the voice. A client that joins the room anew says that everybody has
    left it: at most 0.3 s after LiveKit's server has died.

    It is a text output of the call, behind the room's own, and passes the words on to `text`. So it
    knows which of them the caller may not have got, and writes those anew. `on_new_room` is given
    LiveKit's id of a room that was made anew; `on_alone` is called if the caller is not there, and
    does not come back.
    """

    def __init__(
        self,
        session: AgentSession[Any],
        room: rtc.Room,
        text: TextOutput,
        describe: Describe,
        clock: Clock,
        *,
        on_new_room: Callable[[str], object],
        on_alone: Callable[[], object],
    ) -> None:
        super().__init__(label="rejoin", next_in_chain=text)
        self._text = text
        self._clock = clock
        self._words = deque[tuple[float, str]](maxlen=_MOST_WORDS)
        """The latest words, each with the time at which it was passed on."""
        self._lost_at: float | None = None
        """Time at which the connection broke; None: it is whole."""
        self._hold = Hold()
        self._session = session
        self._room = room
        self._describe = describe
        self._on_new_room = on_new_room
        self._on_alone = on_alone
        self._id = ""
        self._metadata = ""
        self._is_anew = False
        """Whether the room was made anew, and the caller is not met in it yet."""
        self._returning: asyncio.Task[None] | None = None
        self._is_met = asyncio.Event()
        self._is_audible = asyncio.Event()
        self._events: Mapping[EventTypes, Callable[..., None]] = {
            "reconnecting": self._on_lost,
            "reconnected": self._on_back,
            "participant_connected": self._on_person,
            "participant_disconnected": self._hold_if_alone,
            "local_track_subscribed": self._on_subscribed,
        }

    def start(self, room_id: str, *, is_later: bool = False) -> None:
        """Follows the connection to the room, whose id at LiveKit this is.

        `is_later`: the caller has had another agent before, and should be there.
        """
        self._id = room_id
        if audio := self._session.output.audio:
            self._hold.follow(audio)
        for event, follow in self._events.items():
            self._room.on(event, follow)
        if is_later:
            self._begin(self._find_caller(_LATER_WITHIN))

    async def aclose(self) -> None:
        for event, follow in self._events.items():
            self._room.off(event, follow)
        if self._returning:
            self._returning.cancel()
            await asyncio.wait({self._returning})

    async def capture_text(self, text: str) -> None:
        self._words.append((self._clock.now(), str(text)))
        await self._text.capture_text(text)

    def flush(self) -> None:
        self._text.flush()

    def _on_lost(self) -> None:
        if self._lost_at is None:
            self._lost_at = self._clock.now()
        self._metadata = self._room.metadata or self._metadata
        self._is_met.clear()
        self._is_audible.clear()
        if self._returning:
            self._returning.cancel()
        self._hold_if_alone()

    def _hold_if_alone(self, *_: Any) -> None:
        """Stops the voice where it is if its next words would reach no one."""
        if self._lost_at is not None and not self._has_caller():
            self._hold.hold()

    def _on_back(self) -> None:
        self._begin(self._return())

    def _begin(self, work: Coroutine[Any, Any, Any]) -> None:
        if self._returning:
            self._returning.cancel()
        self._returning = asyncio.create_task(work, name="return to a room")
        self._returning.add_done_callback(log_bug)

    def _on_person(self, *_: Any) -> None:
        if self._has_caller():
            self._is_met.set()

    def _has_caller(self) -> bool:
        with suppress(RuntimeError):  # the session is being closed
            return self._session.room_io.linked_participant is not None
        return False

    def _on_subscribed(self, *_: Any) -> None:
        self._is_audible.set()

    async def _return(self) -> None:
        room_id = await self._room.sid
        if room_id != self._id:
            self._id, self._is_anew = room_id, True
            _logger.warning("LiveKit has made room %s anew: its call goes on", self._room.name)
            self._on_new_room(room_id)
        if self._is_anew:
            await self._restore()
        if not await self._find_caller(_CALLER_WITHIN if self._is_anew else _LATER_WITHIN):
            return
        if self._hold.is_held:
            await _within(_AUDIBLE_WITHIN, self._is_audible)
        if self._is_anew:
            await self._attempt("the words that were lost", self._write_lost())
            self._is_anew = False
        self._lost_at = None
        self._hold.release()

    async def _find_caller(self, within: float) -> bool:
        """Returns whether the caller is there, or comes in time; ends the call if not."""
        self._on_person()
        await _within(within, self._is_met)
        self._on_person()  # one who was there before the agent comes without an event
        if not self._is_met.is_set():
            self._on_alone()
        return self._is_met.is_set()

    async def _restore(self) -> None:
        """Gives the room and the agent in it what they had, and begins a new text."""
        texts = self._session.room_io.transcription_output
        if texts and texts.next_in_chain:  # behind the part that paces the words
            texts.next_in_chain.flush()
        state: dict[str, str] = {ATTRIBUTE_AGENT_STATE: self._session.agent_state}
        await asyncio.gather(
            self._attempt("its agent's state", self._room.local_participant.set_attributes(state)),
            self._attempt("its description", self._describe(self._room.name, self._metadata)),
        )

    async def _write_lost(self) -> None:
        """Writes the words that were on their way as the connection broke, or came later."""
        since = (self._lost_at or 0.0) - _ON_THE_WAY
        if lost := "".join(text for at, text in self._words if at > since).strip():
            attributes = {
                ATTRIBUTE_TRANSCRIPTION_SEGMENT_ID: shortuuid("SG_"),
                ATTRIBUTE_TRANSCRIPTION_FINAL: "true",
            }
            await self._room.local_participant.send_text(
                lost, topic=TOPIC_TRANSCRIPTION, attributes=attributes
            )

    async def _attempt(self, part: str, giving: Awaitable[object]) -> None:
        """Gives the room a part of what it had, in 3 s: the call goes on without it as well."""
        try:
            async with asyncio.timeout(_STEP_WITHIN):
                await giving
        except Exception as error:  # noqa: BLE001  LiveKit's errors have no common class
            reason = str(error) or "it took too long"  # a TimeoutError has no text
            _logger.warning("room %s has lost %s: %s", self._room.name, part, reason)


async def _within(seconds: float, event: asyncio.Event) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
