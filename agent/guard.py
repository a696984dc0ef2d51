"""Holds one call to its limits: refuses turns kindly, asks a silent caller, ends a long call."""

import asyncio
from typing import Any

from livekit.agents import AgentSession

from agent.budget import CallBudget, CallLimits, CallSoFar, CallTime, Refusal, Step, spent_on
from agent.saying import wait_until_said
from llm_router.clock import Clock, SystemClock
from llm_router.periodic import PeriodicTask
from llm_router.routing.events import AttemptEvent, ReplyEvent
from llm_router.routing.phrases import Phrases

_EVERY = 1.0
"""Seconds from one check of the time to the next."""
_FAREWELL = 15.0
"""Seconds that the last words of a call may take."""
_QUIET = 20.0
"""Seconds for which a refusal is not said again: a flood of messages is not answered by another."""


_STATUS = "sip.callStatus"
_RINGS = frozenset({"dialing", "ringing"})
"""States of a telephone that is called and not picked up yet."""
_BUSY = frozenset({"speaking", "thinking", "initializing"})
"""States of an agent in which it is not the caller's turn."""


class CallGuard:
    """The limits of one call, as its session meets them.

    It is an observer of the call's router, which tells what the replies cost. `start` it with the
    session, and close it at the end.
    """

    def __init__(
        self, limits: CallLimits, phrases: Phrases, language: str, clock: Clock | None = None
    ) -> None:
        self._limits = limits
        self._phrases = phrases
        self.language = language
        self._clock = clock or SystemClock()
        self._budget = CallBudget(limits)
        self._time: CallTime | None = None
        self._earlier = 0.0
        self._has_begun = False
        self._session: AgentSession[None] | None = None
        self._silent_until: dict[Refusal, float] = {}
        self._unsaid: Refusal | Step | None = None
        """Said later: an answer under way, or the next one, would cut it off."""
        self._uses = 0
        self._ending: asyncio.Task[None] | None = None
        self._occasion = ""
        self._watch = PeriodicTask(self._check, self._clock, _EVERY, name="call limits")
        self.is_on_hold = False
        """Whether the caller waits for a person: their silence means nothing then."""

    def resume(self, so_far: CallSoFar) -> None:
        """Counts what the call has used with its earlier agents. To be called before `start`."""
        self._budget.resume(so_far)
        self._earlier = so_far.seconds

    def start(self, session: AgentSession[None]) -> None:
        """Watches the session from now on."""
        self._session = session
        self._time = CallTime(self._limits, self._clock.now(), self._earlier)
        session.on("user_input_transcribed", self._on_transcript)
        self._watch.start(delay=_EVERY)

    async def aclose(self) -> None:
        await self._watch.aclose()
        if self._ending:
            self._ending.cancel()
            await asyncio.wait([self._ending])

    @property
    def ended_for(self) -> str:
        """The occasion for which it has ended the call; empty: it has not."""
        return self._occasion

    @property
    def is_spent(self) -> bool:
        """Whether the call may ask no model any more."""
        return self._budget.is_spent

    def caller_active(self) -> None:
        """Notes that the caller is there: they have spoken, typed or pressed a key."""
        if self._time:
            self._time.caller_active(self._clock.now())

    def admits(self, characters: int) -> bool:
        """Counts a turn of the caller, and returns whether it is answered; if not, says why."""
        self.caller_active()
        refused = self._budget.turn(characters, self._clock.now())
        if refused is None:
            return True
        self.refuse(refused)
        return False

    def refuse(self, reason: Refusal) -> None:
        """Says why a turn is not answered, once the agent is not talking any more.

        Ends the call if no turn will be answered any more.
        """
        now = self._clock.now()
        if reason is Refusal.CALL:
            self.end(reason)
        elif now >= self._silent_until.get(reason, now):
            self._silent_until[reason] = now + _QUIET
            self._unsaid = reason

    def end(self, occasion: str = Refusal.CALL) -> None:
        """Says the phrase for the occasion, and ends the call. Further calls do nothing."""
        if self._session and self._ending is None:
            self._occasion = occasion
            self._ending = asyncio.create_task(self._end(self._session, occasion))

    async def _end(self, session: AgentSession[None], occasion: str) -> None:
        speech = self._say(occasion, allow_interruptions=False)
        if speech:
            await wait_until_said(speech, _FAREWELL)
        session.shutdown(drain=False)

    def _say(self, occasion: str, *, allow_interruptions: bool = True) -> Any:
        """Says a phrase that is no part of the conversation."""
        words = self._phrases.pick(occasion, self.language, self._uses)
        self._uses += 1
        if not words or self._session is None:
            return None
        try:
            return self._session.say(
                words, allow_interruptions=allow_interruptions, add_to_chat_ctx=False
            )
        except RuntimeError:  # the session is being closed
            return None

    # ── Time ─────────────────────────────────────────────────────────────────────────────────────

    def _on_transcript(self, event: Any) -> None:
        # Words count, and not voice activity: on a noisy line that one never ends.
        if event.transcript.strip():
            self.caller_active()

    async def _check(self) -> None:
        if self._time is None or self._session is None:
            return
        now = self._clock.now()
        is_noisy = self._session.user_state == "speaking"
        is_busy = self.is_on_hold or self._session.agent_state in _BUSY
        has_caller = _has_caller(self._session)
        self._has_begun = self._has_begun or has_caller
        if not self._has_begun:
            self._time.not_begun(now)
        if is_busy or not has_caller:
            self._time.agent_active(now)
        elif self._unsaid and not is_noisy:
            self._say(self._unsaid)
            self._unsaid = None
        step = self._time.due(now)
        if step is Step.ASK:
            # Noise that passes for speech would cut the question off.
            self._say(step, allow_interruptions=not is_noisy)
        elif step is Step.WARN:
            self._unsaid = step
        elif step:
            self.end(step)

    # ── Observer of the router ───────────────────────────────────────────────────────────────────

    def attempt_ended(self, event: AttemptEvent) -> None:
        """Does nothing: a reply brings its attempts."""

    def reply_ended(self, event: ReplyEvent) -> None:
        """Counts the tokens and the cost of all attempts of a reply."""
        self._budget.spent(*spent_on(event))


def _has_caller(session: AgentSession[None]) -> bool:
    """Returns whether the caller is in the room, and has picked up if they are called.

    A session without a room has a caller.
    """
    try:
        caller = session.room_io.linked_participant
        return caller is not None and caller.attributes.get(_STATUS) not in _RINGS
    except RuntimeError:
        return True
