"""Finds out whether a person or a machine has answered a call that the agent makes.

Until that is known the agent keeps silent and answers nothing. On a machine it leaves its message
after the beep, or no word, and hangs up. No tool is called meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.voice import SpeechHandle
from livekit.rtc.participant import PublishDTMFError

from agent.phone.answering import Screening, Verdict, read_answer
from agent.phone.answering_words import is_machine_talk, wanted_key
from agent.phone.beep import RATE, ToneDetector
from agent.phone.keypad import KEYS
from agent.phone.line import find_phone, is_phone
from agent.saying import wait_until_said
from agent.survival.departures import Departures
from llm_router.clock import Clock, SystemClock

_BEEP_WITHIN = 30.0
"""Seconds for which a machine's greeting is listened to."""
_GREETING_OVER = 3.0
"""Seconds of silence after which a machine without a beep records."""
_AFTER_BEEP = 0.6
"""Seconds from the end of a beep to the first word, in which a machine goes on that has beeped in
the middle of its greeting."""
_MESSAGE_WITHIN = 90.0
_BEEPS_WITHIN = 15.0
"""Seconds from the begin of a message in which a beep means that no word of it was recorded."""
_LATE_MACHINE = 20.0
"""Seconds in which words of a machine, or its beep, undo the verdict of a person."""
_LATE_SCREENED = 60.0
"""The same where a service asks the person first: a machine follows if they decline."""
_MOST_KEYS = 3
"""Keys that are pressed for services that screen calls."""

Ask = Callable[[str], Awaitable[str]]
"""Asks a model a question, without tools, and returns its words."""


class Callee:
    """The party that is called. Await `is_person` as the phone is answered; close it at the end.

    `on_found` is given who has answered, as the call's record says it: person, machine, or
    voicemail once a message was left. `is_machine`: an earlier agent of the call has found a
    machine.
    """

    def __init__(
        self,
        ask: Ask,
        on_found: Callable[[str], None],
        *,
        message: str = "",
        vad_silence: float = 0.25,
        is_machine: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self._ask = ask
        self._on_found = on_found
        self._message = message
        self._vad_silence = vad_silence
        self._is_machine = is_machine
        self._clock = clock or SystemClock()
        self._screening = Screening(self._clock.now())
        self._changed = asyncio.Event()
        self._answered_at = 0.0
        self._has_left = False
        self._late_until = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._session: AgentSession[Any] | None = None
        self._departures: Departures | None = None
        self.is_unknown = True
        """Whether it is still open who has answered, or a machine has: nothing is answered."""
        self.ended_for = ""
        """Why it has ended the call; empty: it has not."""

    def follow(self, session: AgentSession[Any]) -> None:
        """Listens to the session from now on: a hello may come before LiveKit says `active`."""
        self._session = session
        session.on("user_state_changed", self._on_state)
        session.on("user_input_transcribed", self._on_words)
        with suppress(RuntimeError):  # a session without a room
            self._departures = Departures(session.room_io.room, self._on_left, self._clock)

    async def aclose(self) -> None:
        if self._departures:
            self._departures.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def is_person(self, session: AgentSession[Any]) -> bool:
        """Waits until it is known who has answered, and returns whether to talk to them.

        A machine is dealt with. What a person has said so far is dropped: the agent's first words
        answer it.
        """
        self._answered_at = self._clock.now()
        self._screening.answered(self._answered_at)
        async with self._listening_for_tones(session):
            verdict = Verdict.MACHINE if self._is_machine else await self._find_out()
            pressed = 0
            while verdict is Verdict.SCREENED and pressed < _MOST_KEYS:
                if not (key := wanted_key(self._screening.words)):
                    break  # it wants to know who calls, and the greeting says so
                await self._press(session, key)
                pressed += 1
                verdict = await self._find_out()
            if verdict is None:
                return False
            if verdict is Verdict.MACHINE:
                await self._meet_machine(session)
                return False
        if verdict is Verdict.PERSON:
            self._on_found("person")
        else:
            self._watch_for_beep(session)
        is_screened = pressed or verdict is Verdict.SCREENED
        self._late_until = self._clock.now() + (_LATE_SCREENED if is_screened else _LATE_MACHINE)
        self.is_unknown = False
        session.clear_user_turn()
        return True

    async def _press(self, session: AgentSession[Any], key: str) -> None:
        """Presses a key of a service that screens calls, and listens afresh who comes then."""
        person = session.room_io.room.local_participant
        with suppress(PublishDTMFError):  # a connection that is away: the service asks again
            await person.publish_dtmf(code=KEYS.index(key), digit=key)
        self._screening = self._screening.afresh(self._clock.now())

    def is_late_machine(self, words: str) -> bool:
        """Returns whether a turn shows that a machine was taken for a person, and deals with it."""
        is_early = self._clock.now() < self._late_until
        if self._session is None or not is_early or not is_machine_talk(words):
            return False
        self.is_unknown = True
        self._tasks.append(asyncio.create_task(self._change_mind(self._session), name="voicemail"))
        return True

    async def _change_mind(self, session: AgentSession[Any]) -> None:
        await session.interrupt()
        async with self._listening_for_tones(session):
            await self._meet_machine(session)

    def _watch_for_beep(self, session: AgentSession[Any]) -> None:
        """Deals with a machine of which only the beep is understood: it speaks another language."""
        if not self._screening.is_short(self._clock.now()):
            self._tasks.append(
                asyncio.create_task(self._leave_after_beep(session), name="late beep")
            )

    async def _leave_after_beep(self, session: AgentSession[Any]) -> None:
        until = self._clock.now() + _LATE_MACHINE
        async with self._listening_for_tones(session):
            while not self._screening.beeps and (left := until - self._clock.now()) > 0:
                await self._wait(left)
            if not self._screening.beeps or self.is_unknown:
                return
            self.is_unknown = True
            await session.interrupt()
            await self._meet_machine(session)

    # ── Who it is ────────────────────────────────────────────────────────────────────────────────

    async def _find_out(self) -> Verdict | None:
        """Returns who has answered; None: they have hung up."""
        asking: asyncio.Task[str] | None = None
        try:
            while (verdict := self._screening.verdict(self._clock.now())) is None:
                if question := self._screening.question(self._clock.now()):
                    _cancel(asking)
                    asking = asyncio.create_task(_asked(self._ask, question), name="who answers")
                    asking.add_done_callback(lambda _: self._changed.set())
                await self._wait(self._screening.next_check(self._clock.now()))
                if self._has_left:
                    return None
                if asking and asking.done():
                    answered_by = read_answer(asking.result())
                    asking = None
                    if answered_by is not Verdict.UNSURE and not self._screening.is_speaking:
                        return answered_by
            return verdict
        finally:
            _cancel(asking)

    async def _wait(self, seconds: float) -> None:
        """Waits until something changes, and for so many seconds at most."""
        timer = self._clock.call_at(self._clock.now() + seconds, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            timer.cancel()
            self._changed.clear()

    def _on_state(self, event: Any) -> None:
        now = self._clock.now()
        if event.new_state == "speaking":
            self._screening.speech_began(now)
        elif event.old_state == "speaking":
            self._screening.speech_ended(now - self._vad_silence)
        self._changed.set()

    def _on_left(self, person: rtc.RemoteParticipant) -> None:
        # LiveKit's end of a session waits for the agent's `on_enter`, and so for this.
        self._has_left = self._has_left or is_phone(person)
        self._changed.set()

    def _on_words(self, event: Any) -> None:
        self._screening.add_words(event.transcript, is_final=event.is_final)
        self._changed.set()

    # ── Machines ─────────────────────────────────────────────────────────────────────────────────

    async def _meet_machine(self, session: AgentSession[Any]) -> None:
        self._on_found("machine")
        self.ended_for = "fax" if self._screening.is_fax else "machine"
        if self._message and not self._screening.is_fax:
            await self._wait_for_beep()
            if self._has_left:
                return
            await self._leave_message(session)
            self.ended_for = "voicemail"
            self._on_found("voicemail")
        session.shutdown(drain=False)

    async def _leave_message(self, session: AgentSession[Any]) -> None:
        """Says the message; again from its beginning if the machine beeps only then."""
        speech = session.say(self._message, allow_interruptions=False)
        if await self._beeps_during(speech):
            speech.interrupt(force=True)
            await self._clock.sleep(_AFTER_BEEP)
            speech = session.say(self._message, allow_interruptions=False)
        await wait_until_said(speech, _MESSAGE_WITHIN)

    async def _beeps_during(self, speech: SpeechHandle) -> bool:
        before, until = self._screening.beeps, self._clock.now() + _BEEPS_WITHIN
        speech.add_done_callback(lambda _: self._changed.set())
        while not speech.done() and not self._has_left:
            if self._screening.beeps > before:
                return True
            if (left := until - self._clock.now()) <= 0:
                break
            await self._wait(left)
        return False

    async def _wait_for_beep(self) -> None:
        """Waits for the beep after which the machine is silent, or for its silence."""
        until, too_early = self._clock.now() + _BEEP_WITHIN, 0
        while not self._has_left:
            now = self._clock.now()
            if self._screening.beeps > too_early:
                await self._clock.sleep(_AFTER_BEEP)
                if not self._screening.speaks_after_beep:
                    return
                too_early = self._screening.beeps
                continue
            quiet = self._screening.quiet_for(now)
            if now >= until or quiet >= _GREETING_OVER:
                return
            left = until - now if self._screening.is_speaking else _GREETING_OVER - quiet
            await self._wait(max(min(left, until - now), 0.01))

    @asynccontextmanager
    async def _listening_for_tones(self, session: AgentSession[Any]) -> AsyncIterator[None]:
        track = _sound_of_phone(session)
        if track is None:
            yield
            return
        stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1)
        listening = asyncio.create_task(self._find_tones(stream), name="tones")
        try:
            yield
        finally:
            listening.cancel()
            await asyncio.wait({listening})
            await stream.aclose()

    async def _find_tones(self, stream: rtc.AudioStream) -> None:
        detector = ToneDetector()
        async for event in stream:
            for tone in detector.push(np.frombuffer(event.frame.data, dtype=np.int16)):
                self._screening.toned(tone, self._clock.now())
                self._changed.set()


def _sound_of_phone(session: AgentSession[Any]) -> rtc.Track | None:
    try:
        phone = find_phone(session.room_io.room)
    except RuntimeError:  # a session without a room
        return None
    tracks = [one.track for one in phone.track_publications.values()] if phone else []
    return next((one for one in tracks if one and one.kind == rtc.TrackKind.KIND_AUDIO), None)


async def _asked(ask: Ask, question: str) -> str:
    try:
        return await ask(question)
    except Exception:  # noqa: BLE001  a model's trouble is no reason to hang up: it says nothing
        return ""


def _cancel(task: "asyncio.Task[str] | None") -> None:
    if task is not None:
        task.cancel()
