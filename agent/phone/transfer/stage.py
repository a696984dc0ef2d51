"""The stage of a warm transfer: a call's room, the person's telephone, and their words."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from livekit import rtc
from livekit.agents import stt

from agent.phone.caller import HAS_RUNG, STATUS
from agent.phone.transfer.destination import Telephone
from agent.phone.transfer.room import CallRoom
from agent.phone.transfer.sound import SideTrack
from agent.phone.transfer.steps import RING_FOR, Event, decision_in
from agent.receptionist.sounds import spoken
from agent.speech.samples import RATE
from agent.speech.stt import STTEngine
from agent.speech.tts import TTSEngine
from agent.survival.departures import Departures, is_gone
from llm_router.clock import Clock
from llm_router.periodic import log_bug
from llm_router.voice.phone.outcomes import Outcome

_logger = logging.getLogger("agent")

_KEYS = {"1": Event.KEY_ACCEPT, "2": Event.KEY_DECLINE}
_UNANSWERED = {
    Outcome.BUSY: Event.BUSY,
    Outcome.DECLINED: Event.REJECTED,
    Outcome.NO_ANSWER: Event.RANG_OUT,
}
_AGAIN = 0.3
"""Seconds until what LiveKit may have done too early is done again."""
_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Briefing:
    """Words to the person, and the words with which they answer; engines to speak and listen."""

    text: str
    accepting: Sequence[str]
    declining: Sequence[str]
    tts: TTSEngine
    stt: STTEngine


class CallStage:
    """One warm transfer of a caller (an identity) to a person, who gets the other identity.

    Until `connect` neither receives the other's sound, and only the person receives the briefing.
    """

    def __init__(  # noqa: PLR0917  parts of one transfer, each of its own type
        self,
        room: CallRoom,
        caller: str,
        person: str,
        to: Sequence[Telephone],
        briefing: Briefing,
        clock: Clock,
    ) -> None:
        self._room = room
        self._caller = caller
        self._person = person
        # A line that failed may be seen to leave while the next one is called.
        self._ways = {
            f"{person}-{number}" if number else person: each for number, each in enumerate(to)
        }
        self._briefing = briefing
        self._clock = clock
        self._track: SideTrack | None = None
        self._stack = AsyncExitStack()
        self._is_dialling = False
        self._has_rung = False
        self._may_reroute = False
        """Whether another trunk follows if the line that is being called fails."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._post: Callable[[Event], None] = lambda _: None

    @asynccontextmanager
    async def observed(self, post: Callable[[Event], None]) -> AsyncIterator[None]:
        self._post = post
        room, session = self._room.rtc, self._room.session
        handlers = {
            "sip_dtmf_received": self._on_key,
            "track_published": self._on_track,
            "participant_connected": self._on_connected,
            "participant_attributes_changed": self._on_attributes,
        }
        for name, handler in handlers.items():
            room.on(name, handler)  # type: ignore[arg-type]  # LiveKit lists its names in a type
        departures = Departures(room, self._on_left, self._clock)
        session.on("close", self._on_close)
        try:
            if is_gone(room, self._caller):
                post(Event.CALLER_LEFT)
            self._words = asyncio.create_task(self._speak_briefing(), name="briefing")
            self._tasks.add(self._words)
            yield
        finally:
            session.off("close", self._on_close)
            departures.close()
            for name, handler in handlers.items():
                room.off(name, handler)  # type: ignore[arg-type]  # as above
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)

    async def hold(self) -> None:
        holding = self._room.on_hold(self._caller, persons=[*self._ways])
        self._track = await self._stack.enter_async_context(holding)

    async def dial(self) -> Event:
        self._is_dialling = True
        left = len(self._ways)
        for person, to in self._ways.items():
            self._person = person
            left -= 1
            self._has_rung, self._may_reroute = False, left > 0
            report = await self._room.dial(self._person, to, RING_FOR)
            if self._has_rung or not report.may_reroute:
                break
            if left:
                # The room may say only after the refusal that the telephone has rung.
                await self._clock.sleep(_AGAIN)
                if self._has_rung:
                    break
        self._may_reroute = False
        if report.outcome is not Outcome.ANSWERED:
            self._is_dialling = False
            return _UNANSWERED.get(report.outcome, Event.UNREACHABLE)
        # The person's line has subscribed to the caller as it was answered.
        await self._separate()
        self._is_dialling = False
        if is_gone(self._room.rtc, self._person):
            self._post(Event.PERSON_LEFT)
        return Event.ANSWERED

    async def brief(self) -> None:
        self._begin(self._listen())
        sound = await self._words
        if self._track:
            await self._track.play(sound)

    async def connect(self) -> None:
        await self._room.join(self._caller, self._person, together=True)
        await self._stack.aclose()

    async def part(self) -> None:
        try:
            for _ in range(_TRIES):
                # A line that is only being opened joins the room late.
                if await self._room.remove(self._person) or not self._is_dialling:
                    break
                await self._clock.sleep(_AGAIN)
        finally:
            await self._stack.aclose()

    # ── Events ───────────────────────────────────────────────────────────────────────────────────

    def _on_left(self, person: rtc.RemoteParticipant) -> None:
        if person.identity == self._caller:
            self._post(Event.CALLER_LEFT)
        elif person.identity == self._person and not self._may_reroute:
            self._post(Event.PERSON_LEFT)

    def _on_close(self, _: object) -> None:
        self._post(Event.CALLER_LEFT)

    def _on_connected(self, person: rtc.RemoteParticipant) -> None:
        self._on_attributes(person.attributes, person)

    def _on_attributes(self, changed: Mapping[str, str], person: rtc.Participant) -> None:
        if person.identity == self._person and changed.get(STATUS) in HAS_RUNG:
            self._has_rung = True
            self._may_reroute = False

    def _on_key(self, key: rtc.SipDTMF) -> None:
        is_theirs = key.participant is not None and key.participant.identity == self._person
        if is_theirs and key.digit in _KEYS:
            self._post(_KEYS[key.digit])

    def _on_track(self, _: rtc.RemoteTrackPublication, owner: rtc.RemoteParticipant) -> None:
        if owner.identity == self._person:
            # The caller's line subscribes by itself, long before the person answers.
            self._begin(self._separate())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="transfer")
        task.add_done_callback(log_bug)
        self._tasks.add(task)

    async def _separate(self) -> None:
        for pause in (0.0, _AGAIN):
            await self._clock.sleep(pause)
            await self._room.join(self._caller, self._person, together=False)

    # ── Words ────────────────────────────────────────────────────────────────────────────────────

    async def _speak_briefing(self) -> bytes:
        return await spoken(self._briefing.tts, self._briefing.text)

    async def _listen(self) -> None:
        """Posts what the person's words decide."""
        person = self._room.rtc.remote_participants.get(self._person)
        tracks = person.track_publications.values() if person else ()
        track = next((each.track for each in tracks if each.track), None)
        if track is None:
            return
        sound = rtc.AudioStream.from_track(track=track, sample_rate=RATE, num_channels=1)
        words = self._briefing.stt.stream()
        feeding = asyncio.create_task(_feed(sound, words), name="words of a person")
        try:
            async for event in words:
                self._read(event)
        finally:
            feeding.cancel()
            await asyncio.wait({feeding})
            await words.aclose()
            await sound.aclose()

    def _read(self, event: stt.SpeechEvent) -> None:
        if event.type != stt.SpeechEventType.FINAL_TRANSCRIPT or not event.alternatives:
            return
        briefing = self._briefing
        meant = decision_in(event.alternatives[0].text, briefing.accepting, briefing.declining)
        if meant:
            self._post(meant)


async def _feed(sound: rtc.AudioStream, words: stt.RecognizeStream) -> None:
    async for event in sound:
        words.push_frame(event.frame)
