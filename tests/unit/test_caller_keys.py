"""Tests how a caller's keys reach the tool that asks for them, in a session of fakes."""

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.voice import SpeechHandle

from agent.budget import CallLimits
from agent.guard import CallGuard
from agent.phone.keypad import Ending, Entry, FieldRules
from agent.phone.keys import CallerKeys
from llm_router.clock import checkpoint
from llm_router.routing.phrases import Phrases
from llm_router.testing import ManualClock

CALLER = SimpleNamespace(identity="sip_caller", kind=rtc.ParticipantKind.PARTICIPANT_KIND_SIP)
COLLEAGUE = SimpleNamespace(identity="sip_other", kind=rtc.ParticipantKind.PARTICIPANT_KIND_SIP)
PIN = FieldRules(minimum=4, maximum=4)


class Speech:
    """A prompt that is being said until it is interrupted or ends."""

    def __init__(self) -> None:
        self.interrupted = False
        self._ended: list[Callable[[Any], None]] = []
        self._is_done = False

    def done(self) -> bool:
        return self._is_done

    def interrupt(self) -> None:
        self.interrupted = True
        self.end()

    def end(self) -> None:
        self._is_done = True
        for callback in self._ended:
            callback(self)

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._ended.append(callback)


class Call:
    """A call by telephone whose caller presses keys."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.room = rtc.EventEmitter[str]()
        self.session = SimpleNamespace(
            room_io=SimpleNamespace(linked_participant=CALLER),
            agent_state="listening",
            on=self._on,
            interrupt=lambda: self.interruptions.append(clock.now()),
            generate_reply=lambda *, user_input: self.asked.append(user_input),
        )
        self.interruptions: list[float] = []
        self.asked: list[str] = []
        self.prompts: list[Speech] = []
        self._on_words: Any = None
        self.guard = CallGuard(CallLimits(), Phrases({}), "en", clock)
        self.keys = CallerKeys(cast("AgentSession[Any]", self.session), self.guard, clock)
        self.keys.follow(cast("rtc.Room", self.room))

    def _on(self, event: str, handler: Any) -> None:
        assert event == "user_input_transcribed"
        self._on_words = handler

    def say(self) -> SpeechHandle:
        self.prompts.append(Speech())
        return cast("SpeechHandle", self.prompts[-1])

    def words(self, text: str) -> None:
        self._on_words(SimpleNamespace(is_final=True, transcript=text))

    async def press(self, keys: str, sender: Any = CALLER, every: float = 0.2) -> None:
        for key in keys:
            self.room.emit("sip_dtmf_received", SimpleNamespace(participant=sender, digit=key))
            await self.clock.sleep(every)

    def asking(self, rules: FieldRules = PIN) -> "asyncio.Task[Entry]":
        return asyncio.ensure_future(self.keys.read(rules, self.say))


def play(scene: Callable[[Call], Coroutine[Any, Any, None]]) -> None:
    clock = ManualClock()

    async def run() -> None:
        call = Call(clock)
        try:
            await scene(call)
        finally:
            await call.keys.aclose()

    clock.run(run())


def test_a_key_stops_the_prompt_and_counts() -> None:
    async def scene(call: Call) -> None:
        asking = call.asking()
        await checkpoint()
        await call.press("1")
        assert call.prompts[0].interrupted
        await call.press("234")
        assert await asking == Entry(Ending.COMPLETE, "1234")
        # The session's own interruption would cancel the tool that asks.
        assert call.interruptions == []

    play(scene)


def test_keys_pressed_before_the_question_answer_it_without_a_prompt() -> None:
    async def scene(call: Call) -> None:
        call.session.agent_state = "thinking"
        await call.press("1234", every=0.01)
        assert await call.asking() == Entry(Ending.COMPLETE, "1234")
        assert call.prompts == []

    play(scene)


def test_nothing_typed_ends_some_seconds_after_the_prompt() -> None:
    async def scene(call: Call) -> None:
        asking = call.asking()
        await call.clock.sleep(60)
        assert not asking.done()
        call.prompts[0].end()
        said_at = call.clock.now()
        assert await asking == Entry(Ending.NOTHING)
        assert call.clock.now() - said_at == pytest.approx(PIN.first_within)

    play(scene)


def test_words_in_place_of_keys_end_the_question() -> None:
    async def scene(call: Call) -> None:
        asking = call.asking()
        await checkpoint()
        call.words("  ")
        await checkpoint()
        assert not asking.done()
        call.words("I do not have it.")
        assert await asking == Entry(Ending.SPOKEN)

    play(scene)


def test_keys_of_another_participant_or_of_a_server_are_not_the_callers() -> None:
    async def scene(call: Call) -> None:
        asking = call.asking()
        await checkpoint()
        await call.press("99", sender=COLLEAGUE)
        await call.press("99", sender=None)
        await call.press("1234")
        assert (await asking).keys == "1234"

    play(scene)


def test_keys_of_a_caller_who_waits_for_a_person_are_answered_afterwards() -> None:
    async def scene(call: Call) -> None:
        call.guard.is_on_hold = True
        await call.press("0")
        await call.clock.sleep(20.0)
        assert call.asked == []
        call.guard.is_on_hold = False
        await call.clock.sleep(1.0)
        assert call.asked == ["(The caller has pressed: 0)"]

    play(scene)


def test_a_cancelled_question_loses_no_key() -> None:
    async def scene(call: Call) -> None:
        call.session.agent_state = "thinking"
        asking = call.asking()
        await checkpoint()
        await call.press("12")
        asking.cancel()
        await asyncio.wait([asking])
        await call.press("34")
        assert (await call.asking()).keys == "1234"

    play(scene)


def test_keys_that_nothing_asks_for_stop_the_voice_and_are_a_turn_of_the_caller() -> None:
    async def scene(call: Call) -> None:
        call.session.agent_state = "speaking"
        await call.press("2")
        assert len(call.interruptions) == 1
        await call.clock.sleep(5)
        assert call.asked == []  # it still speaks
        call.session.agent_state = "listening"
        await call.clock.sleep(1)
        assert call.asked == ["(The caller has pressed: 2)"]
        await call.press("31", every=1.0)
        await call.clock.sleep(2)
        assert call.asked[1:] == ["(The caller has pressed: 3 1)"]

    play(scene)


def test_two_questions_at_once_are_asked_one_after_the_other() -> None:
    async def scene(call: Call) -> None:
        one, other = call.asking(), call.asking()
        await checkpoint()
        await call.press("1234")
        await call.press("5678")
        assert ((await one).keys, (await other).keys) == ("1234", "5678")

    play(scene)
