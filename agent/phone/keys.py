"""Receives the keys that the caller presses, and gives them to the tool that asks for them."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.voice import SpeechHandle

from agent.guard import CallGuard
from agent.phone.keypad import Entry, FieldRules, Keypad
from agent.phone.line import PHONE
from llm_router.clock import Clock, SystemClock

_UNASKED_AFTER = 1.5
"""Seconds after the last key until keys that no field asks for are given to the agent."""
_EVERY = 0.25
"""Seconds from one check to the next whether the agent has finished."""
_BUSY = frozenset({"speaking", "thinking", "initializing"})
PRESSED = "(The caller has pressed: {keys})"
"""Words for the model in place of keys that it has not asked for."""


class CallerKeys:
    """The keys of the caller to whom a session listens. Close it at the end.

    A key stops the agent's voice. Keys for which no field is opened are a turn of the caller, once
    they pause and the agent does not speak; a single one that is in `words` stands for those.
    """

    def __init__(
        self,
        session: AgentSession[Any],
        guard: CallGuard,
        clock: Clock | None = None,
        *,
        words: Mapping[str, str] | None = None,
    ) -> None:
        self._session = session
        self._guard = guard
        self._words = words or {}
        self._clock = clock or SystemClock()
        self._keypad = Keypad()
        self._reading = asyncio.Lock()
        self._changed = asyncio.Event()
        self._prompt: SpeechHandle | None = None
        self._unasked: asyncio.Task[None] | None = None
        self._room: rtc.Room | None = None

    def follow(self, room: rtc.Room) -> None:
        """Receives the keys of the room's caller from now on."""
        self._room = room
        room.on("sip_dtmf_received", self._on_dtmf)
        self._session.on("user_input_transcribed", self._on_words)

    async def aclose(self) -> None:
        if self._room:
            self._room.off("sip_dtmf_received", self._on_dtmf)
        if self._unasked:
            self._unasked.cancel()
            await asyncio.wait([self._unasked])

    async def read(self, rules: FieldRules, say: Callable[[], SpeechHandle | None]) -> Entry:
        """Asks for keys by `say`, and returns them; keys that came before count.

        The prompt is stopped by the first key, and not begun if there is one already. Cancelling
        it loses no key. Further requests wait for this one.
        """
        async with self._reading:
            self._keypad.open(rules, self._clock.now())
            try:
                if not self._keypad.typed:
                    self._begin(say())
                while (entry := self._keypad.ended(self._clock.now())) is None:
                    await self._change(self._keypad.due)
            finally:
                self._keypad.close()
                self._stop_prompt()
            return entry

    def _begin(self, prompt: SpeechHandle | None) -> None:
        self._prompt = prompt
        if prompt is None:
            self._on_said(prompt)
        else:
            prompt.add_done_callback(self._on_said)

    def _on_said(self, prompt: SpeechHandle | None) -> None:
        if prompt is self._prompt:
            self._keypad.wait(self._clock.now())
            self._changed.set()

    def _stop_prompt(self) -> None:
        prompt, self._prompt = self._prompt, None
        if prompt and not prompt.done():
            with suppress(RuntimeError):  # it may not be interrupted
                prompt.interrupt()

    async def _change(self, until: float | None) -> None:
        """Waits until a key is pressed or words are spoken, or until that time."""
        within = None if until is None else max(0.0, until - self._clock.now())
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._changed.wait()
        self._changed.clear()

    def _on_words(self, event: Any) -> None:
        if event.is_final and event.transcript.strip():
            self._keypad.spoken()
            self._changed.set()

    def _on_dtmf(self, event: rtc.SipDTMF) -> None:
        if not self._is_callers(event.participant):
            return
        self._keypad.press(event.digit, self._clock.now())
        self._guard.caller_active()
        self._changed.set()
        if self._keypad.is_open:
            # The session's own interruption would cancel the tool that asks.
            self._stop_prompt()
            return
        if self._session.agent_state == "speaking":
            with suppress(RuntimeError):  # a goodbye may not be interrupted
                self._session.interrupt()
        if self._unasked is None or self._unasked.done():
            self._unasked = asyncio.create_task(self._give_unasked(), name="keys of a caller")

    def _is_callers(self, sender: rtc.RemoteParticipant | None) -> bool:
        if sender is None:  # sent by a server, not by a telephone
            return False
        try:
            caller = self._session.room_io.linked_participant
        except RuntimeError:  # the session has no room yet
            caller = None
        return sender.kind == PHONE if caller is None else sender.identity == caller.identity

    async def _give_unasked(self) -> None:
        """Gives keys for which no field is opened in time to the agent, when it is its turn."""
        while (since := self._keypad.unasked_since) is not None:
            rest = since + _UNASKED_AFTER - self._clock.now()
            if rest > 0:
                await self._clock.sleep(rest)
            elif self._is_others_turn():
                await self._clock.sleep(_EVERY)
            else:
                self._answer(self._keypad.take_unasked())

    def _is_others_turn(self) -> bool:
        # An answer to one who waits for a person would be spoken into their music.
        is_waiting = self._reading.locked() or self._guard.is_on_hold
        return is_waiting or self._session.agent_state in _BUSY

    def _answer(self, keys: str) -> None:
        words = self._words.get(keys) or PRESSED.format(keys=" ".join(keys))
        if self._guard.admits(len(words)):
            with suppress(RuntimeError):  # the session is being closed
                self._session.generate_reply(user_input=words)
