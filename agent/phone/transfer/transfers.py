"""The transfers of one call, one at a time: what is said before and after, and who goes on."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

from livekit.agents import AgentSession

from agent.phone.caller import NUMBER
from agent.phone.transfer.cold import transfer_cold
from agent.phone.transfer.destination import UnreachableError, telephones_of
from agent.phone.transfer.line import CallerLine
from agent.phone.transfer.room import CallRoom
from agent.phone.transfer.stage import Briefing, CallStage
from agent.phone.transfer.steps import End
from agent.phone.transfer.verdict import Verdict
from agent.phone.transfer.warm import transfer_warm
from agent.saying import wait_until_said
from agent.speech.stt import STTEngine
from agent.speech.tts import TTSEngine
from agent.staff import PERSON
from llm_router.clock import Clock, utc_now
from llm_router.routing.phrases import Phrases
from llm_router.voice.phone.hours import is_open
from llm_router.voice.phone.numbers import as_uri, comparable, same_for_people
from llm_router.voice.phone.setup import Person, PhoneSetup

_logger = logging.getLogger("agent")

_SAID_WITHIN = 20.0
"""Seconds for one sentence to the caller."""
_MOST_ABOUT = 600
"""Characters of the model's words about the caller that are read to the person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferParts:
    """The parts of a call that its transfers use.

    `hand_over` notes that a person answers from now on, and returns once that is stored. `leave`
    takes the agent out of the room. `on_hold` is given whether the caller waits on hold.
    """

    room: CallRoom
    setup: PhoneSetup
    phrases: Phrases
    language: str
    tts: TTSEngine
    stt: STTEngine
    clock: Clock
    hand_over: Callable[[], Awaitable[None]]
    leave: Callable[[], Awaitable[None]]
    on_hold: Callable[[bool], None]


class Transfers:
    """The transfers of one call. A caller whose transfer fails learns why, and has the agent."""

    def __init__(self, parts: TransferParts) -> None:
        self._parts = parts
        self._is_busy = False
        self.language = parts.language
        """The caller's language; the person has that of the assistant."""
        self.is_done = False
        """Whether the caller was transferred."""

    def people(self) -> Sequence[Person]:
        """Returns those to whom calls may be transferred now."""
        setup, now = self._parts.setup, utc_now(self._parts.clock)
        return [
            person
            for person in setup.people
            if person.hours is None or is_open(setup.hours[person.hours], now)
        ]

    async def transfer(self, person: Person, about: str) -> str:
        """Transfers the caller; returns why not, empty if they have left for the person.

        `about` is what the person learns of the caller. The caller has learnt of a failure.
        """
        if self._is_busy:
            return "a transfer is under way"
        self._is_busy = True
        self._parts.on_hold(True)
        session = self._parts.room.session
        session.input.set_audio_enabled(False)
        end: End | Verdict = End.FAILED
        try:
            await self._say("begin", person)
            end = await self._carry_out(person, about)
            if end is End.CONNECTED:
                await self._leave_to(person)
            elif end is not Verdict.TRANSFERRED and end is not End.CALLER_LEFT:
                await self._say(end.value, person)
        finally:
            self._is_busy = False
            self.is_done = end in {End.CONNECTED, Verdict.TRANSFERRED}
            if not self.is_done:
                session.input.set_audio_enabled(True)
                self._parts.on_hold(False)
        return "" if self.is_done else _REASONS.get(end.value, "the person cannot be reached")

    async def _carry_out(self, person: Person, about: str) -> End | Verdict:
        room, clock = self._parts.room, self._parts.clock
        caller = room.caller
        if caller is None:
            return End.CALLER_LEFT if room.is_whole else End.FAILED
        if _line(person.number) == _line(caller.attributes.get(NUMBER, "")):
            return End.BUSY  # with this very call: it is the person's own line
        try:
            if person.transfer == "cold" and room.is_on_the_phone():
                uri = as_uri(person.number, caller.attributes.get("sip.hostname", ""))
                return await transfer_cold(CallerLine(room, caller.identity, uri), clock)
            to = telephones_of(person, self._parts.setup)
        except (UnreachableError, ValueError) as error:
            _logger.error("%s cannot be called: %s", person.name, error)  # noqa: TRY400  for operators
            return End.FAILED
        identity = f"{PERSON}{uuid4().hex}"
        briefing = self._briefing(about)
        return await transfer_warm(
            CallStage(room, caller.identity, identity, to, briefing, clock), clock, len(to)
        )

    def _briefing(self, about: str) -> Briefing:
        parts = self._parts
        text = parts.phrases.pick("transfer.brief", parts.language, 0)
        return Briefing(
            text=text.replace("{about}", about[:_MOST_ABOUT]),
            accepting=parts.phrases.options("transfer.yes", parts.language),
            declining=parts.phrases.options("transfer.no", parts.language),
            tts=parts.tts,
            stt=parts.stt,
        )

    async def _leave_to(self, person: Person) -> None:
        """Leaves caller and person to each other, once no other process would send an agent."""
        await self._parts.hand_over()
        await self._say("connected", person)
        await self._parts.leave()

    async def _say(self, occasion: str, person: Person) -> None:
        """Says a phrase to the end. It is part of the conversation: a model must know of it."""
        words = self._parts.phrases.pick(f"transfer.{occasion}", self.language, 0)
        session: AgentSession[None] = self._parts.room.session
        try:
            speech = session.say(words.replace("{name}", person.name), allow_interruptions=False)
        except RuntimeError:  # the session is being closed
            return
        await wait_until_said(speech, _SAID_WITHIN)


def _line(number: str) -> str:
    return comparable(same_for_people(number))


_REASONS: Mapping[str, str] = {
    End.BUSY: "the person's line is busy",
    End.DECLINED: "the person has declined",
    End.NO_ANSWER: "the person does not answer",
    End.NOT_ACCEPTED: "a machine has answered, or nobody has accepted the call",
    End.PERSON_LEFT: "the person has hung up",
    End.CALLER_LEFT: "the caller has left",
}
