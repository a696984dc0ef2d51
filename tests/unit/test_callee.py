"""Tests what the agent does until it is known who has answered, and with a machine."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from livekit.rtc.participant import PublishDTMFError

from agent.phone.answering import NO_SPEECH, PERSON_SILENCE
from agent.phone.callee import Callee
from agent.staff import PERSON
from llm_router.testing import ManualClock
from tests.rooms import FakeRoom

VAD = 0.25


class Speech:
    """Words that are being said until they end, or are cut off."""

    def __init__(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._said = loop.create_future()
        loop.call_later(seconds, self.interrupt)

    def interrupt(self, *, force: bool = True) -> None:
        assert force
        if not self._said.done():
            self._said.set_result(None)

    def done(self) -> bool:
        return self._said.done()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._said.add_done_callback(callback)

    async def wait_for_playout(self) -> None:
        await asyncio.shield(self._said)


@dataclass
class Session:
    """The agent's session, as the callee is met through it."""

    clock: ManualClock
    said: list[tuple[str, float]] = field(default_factory=list)
    events: dict[str, Callable[[Any], None]] = field(default_factory=dict)
    cleared: int = 0
    ended_at: float | None = None
    interrupted: int = 0
    pressed: str = ""
    keys_lost: int = 0
    """Keys that the connection does not take."""
    callee: Callee | None = None

    def on(self, event: str, callback: Callable[[Any], None]) -> None:
        self.events[event] = callback

    room: Any = field(default_factory=FakeRoom)

    def __post_init__(self) -> None:
        self.room.local_participant = SimpleNamespace(publish_dtmf=self.press)
        self.phone = self.room.enter("callee", status="active")

    @property
    def room_io(self) -> Any:
        return SimpleNamespace(room=self.room)

    async def press(self, *, code: int, digit: str) -> None:
        assert str(code) == digit
        if self.keys_lost:
            self.keys_lost -= 1
            raise PublishDTMFError("the connection is away")
        self.pressed += digit

    def leave(self) -> None:
        self.room.leave(self.phone)

    def clear_user_turn(self) -> None:
        self.cleared += 1

    def say(self, words: str, **_: Any) -> Any:
        self.said.append((words, self.clock.now()))
        return Speech(2.0)

    async def interrupt(self) -> None:
        self.interrupted += 1

    def shutdown(self, *, drain: bool) -> None:
        self.ended_at = self.clock.now()

    # ── The party that is called ─────────────────────────────────────────────────────────────────

    async def speak(self, seconds: float, words: str = "") -> None:
        """Speaks as the detector of voices notices it: the end comes later than it is."""
        self.state("speaking", "listening")
        first = min(seconds, 2.0)
        await self.clock.sleep(first)
        if words:
            self.words(words, is_final=False)
        await self.clock.sleep(seconds - first + VAD)
        self.state("listening", "speaking")
        if words:
            self.words(words)

    def beep(self) -> None:
        assert self.callee
        self.callee._screening.beeped(self.clock.now())
        self.callee._changed.set()

    def state(self, new: str, old: str) -> None:
        self.events["user_state_changed"](SimpleNamespace(new_state=new, old_state=old))

    def words(self, text: str, *, is_final: bool = True) -> None:
        self.events["user_input_transcribed"](SimpleNamespace(transcript=text, is_final=is_final))


@dataclass
class Stage:
    clock: ManualClock = field(default_factory=ManualClock)
    answer: str = "UNSURE"
    answers_in: float = 0.5
    asked: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.session = Session(self.clock)

    async def ask(self, question: str) -> str:
        self.asked.append(question)
        await self.clock.sleep(self.answers_in)
        return self.answer

    def call(
        self,
        party: Callable[[Session], Coroutine[Any, Any, None]],
        message: str = "",
        *,
        is_machine: bool = False,
    ) -> tuple[bool, float]:
        """Returns whether a person was found, and when (s after the phone was picked up)."""

        async def main() -> tuple[bool, float]:
            callee = Callee(
                self.ask,
                self.found.append,
                message=message,
                vad_silence=VAD,
                is_machine=is_machine,
                clock=self.clock,
            )
            self.session.callee = callee
            callee.follow(self.session)  # type: ignore[arg-type]  # the parts that it uses
            speaking = asyncio.create_task(party(self.session))
            assert callee.is_unknown
            is_person = await callee.is_person(self.session)  # type: ignore[arg-type]
            at = self.clock.now()
            assert callee.is_unknown is not is_person
            await speaking
            await callee.aclose()
            return is_person, at

        return self.clock.run(main())


async def says_hello(session: Session) -> None:
    await session.clock.sleep(0.5)
    await session.speak(0.6)


async def says_nothing(session: Session) -> None:
    """Waits."""


async def of_a_company(session: Session) -> None:
    await session.speak(3.5, "Good morning, Miller and Sons, this is Anna Miller speaking.")


async def machine(session: Session) -> None:
    await session.speak(8.0, "Please leave a message after the tone.")


def test_a_hello_is_answered_half_a_second_after_it_and_no_model_is_asked() -> None:
    stage = Stage()
    is_person, at = stage.call(says_hello)
    assert is_person
    assert at == pytest.approx(0.5 + 0.6 + PERSON_SILENCE, abs=0.02)
    assert (stage.found, stage.asked, stage.session.cleared) == (["person"], [], 1)


def test_silence_is_spoken_to_and_nothing_is_noted_of_who_it_is() -> None:
    stage = Stage()
    found, at = stage.call(says_nothing)
    assert found is True
    assert at == pytest.approx(NO_SPEECH, abs=0.02)
    assert stage.found == []


@pytest.mark.parametrize(("answer", "is_person"), [("PERSON", True), ("MACHINE", False)])
def test_a_model_decides_about_a_greeting_in_between(answer: str, *, is_person: bool) -> None:
    stage = Stage(answer=answer)
    found, at = stage.call(of_a_company)
    assert found is is_person
    assert at < 5.5
    assert len(stage.asked) == 1
    assert "Miller and Sons" in stage.asked[0]


def test_a_model_that_does_not_answer_delays_the_first_word_to_six_seconds_at_most() -> None:
    stage = Stage(answers_in=60.0)
    is_person, at = stage.call(of_a_company)
    assert is_person
    assert at <= 6.1


def test_a_model_that_fails_says_nothing_of_who_it_is() -> None:
    stage = Stage()

    async def fail(question: str) -> str:
        raise RuntimeError

    stage.ask = fail  # type: ignore[method-assign]
    assert stage.call(of_a_company)[0]


def test_a_machine_without_a_message_is_hung_up_on_without_a_word() -> None:
    stage = Stage()
    assert not stage.call(machine)[0]
    assert (stage.session.said, stage.found) == ([], ["machine"])
    assert stage.session.ended_at is not None


def test_a_message_is_left_once_a_machine_without_a_beep_is_silent() -> None:
    stage = Stage()
    assert not stage.call(machine, "Call us back.")[0]
    ((words, at),) = stage.session.said
    assert words == "Call us back."
    assert at == pytest.approx(8.0 + 3.0, abs=0.3)
    assert stage.found == ["machine", "voicemail"]
    assert stage.session.ended_at == pytest.approx(at + 2.0, abs=0.02)


async def screened(session: Session) -> None:
    await session.speak(7.0, "This call is screened. Please say your name and why you are calling.")


async def wants_a_key(session: Session) -> None:
    await session.speak(4.0, "To accept this call press one.")
    await session.clock.sleep(8.0)
    await session.speak(0.5, "Hello?")


def test_a_service_that_screens_calls_gets_the_greeting_and_no_model_is_asked() -> None:
    stage = Stage()
    found, at = stage.call(screened, "Call us back.")
    assert found is True
    assert at == pytest.approx(7.0 + VAD + 0.8, abs=0.3)
    assert (stage.found, stage.asked, stage.session.ended_at) == ([], [], None)


def test_a_key_that_a_service_wants_is_pressed_and_the_person_awaited() -> None:
    stage = Stage()
    found, at = stage.call(wants_a_key)
    assert found is True
    assert at == pytest.approx(4.0 + 8.0 + 0.5 + 2 * VAD + 0.35 - 0.25, abs=0.3)
    assert (stage.session.pressed, stage.found) == ("1", ["person"])


async def asks_again_for_a_key(session: Session) -> None:
    await session.speak(4.0, "To accept this call press one.")
    await session.clock.sleep(3.0)
    await wants_a_key(session)


def test_a_key_that_the_connection_did_not_take_is_pressed_when_the_service_asks_again() -> None:
    stage = Stage()
    stage.session.keys_lost = 1
    found, _ = stage.call(asks_again_for_a_key)
    assert found is True
    assert (stage.session.pressed, stage.found) == ("1", ["person"])


async def is_transcribed_late(session: Session) -> None:
    """Wants a key, and the recogniser gives its last words after the key was pressed."""
    session.state("speaking", "listening")
    await session.clock.sleep(4.0)
    session.words("To accept this call press one", is_final=False)
    session.state("listening", "speaking")
    await session.clock.sleep(1.5)
    assert session.pressed == "1"
    session.words("To accept this call, press one.")
    await session.clock.sleep(6.5)
    await session.speak(0.5, "Hello?")


async def goes_on_late(session: Session) -> None:
    """The same where the party speaks already as the words come."""
    session.state("speaking", "listening")
    await session.clock.sleep(4.0)
    session.words("To accept this call press one", is_final=False)
    session.state("listening", "speaking")
    await session.clock.sleep(1.5)
    session.state("speaking", "listening")
    session.words("To accept this call, press one.")
    await session.clock.sleep(0.5)
    session.state("listening", "speaking")
    session.words("Hello?")


async def has_words_after_its_last_ones(session: Session) -> None:
    """The same where words were final before, and more of the same speech come."""
    await session.speak(4.0, "To accept this call, press one.")
    await session.clock.sleep(1.0)
    assert session.pressed == "1"
    session.words("To accept this call, press one.")
    await session.clock.sleep(7.0)
    await session.speak(0.5, "Hello?")


@pytest.mark.parametrize(
    "party", [is_transcribed_late, goes_on_late, has_words_after_its_last_ones]
)
def test_words_of_the_prompt_that_come_after_its_key_press_no_other(
    party: Callable[[Session], Coroutine[Any, Any, None]],
) -> None:
    stage = Stage()
    found, _ = stage.call(party)
    assert found is True
    assert (stage.session.pressed, stage.found) == ("1", ["person"])


async def repeats_its_prompt(session: Session) -> None:
    for _ in range(2):
        await session.speak(4.0, "To accept this call, press one.")
        await session.clock.sleep(2.0)
    await session.speak(0.5, "Hello?")


def test_a_prompt_that_is_spoken_again_gets_its_key_again() -> None:
    stage = Stage()
    assert stage.call(repeats_its_prompt)[0]
    assert (stage.session.pressed, stage.found) == ("11", ["person"])


def test_a_noisy_line_without_a_word_is_spoken_to_and_not_hung_up_on() -> None:
    async def noise(session: Session) -> None:
        await session.speak(20.0)

    stage = Stage()
    assert stage.call(noise)[0]
    assert (stage.session.ended_at, stage.found) == (None, [])


def test_a_message_is_left_in_any_case_where_a_greeting_does_not_end() -> None:
    async def endless(session: Session) -> None:
        await session.speak(60.0, "The exhibition is open all day, and the garden until dusk.")

    stage = Stage()
    stage.call(endless, "Call us back.")
    assert stage.session.said[0][1] == pytest.approx(6.0 + 30.0, abs=0.5)


def test_a_message_begins_after_the_beep() -> None:
    async def beeps(session: Session) -> None:
        await session.speak(8.0, "Please leave a message after the tone.")
        await session.clock.sleep(0.5)
        session.beep()

    stage = Stage()
    assert not stage.call(beeps, "Call us back.")[0]
    [(_, at)] = stage.session.said
    assert at == pytest.approx(8.0 + VAD + 0.5 + 0.6, abs=0.02)


def test_a_beep_in_the_middle_of_a_greeting_is_not_the_one_to_speak_after() -> None:
    async def beeps_twice(session: Session) -> None:
        await session.speak(8.0, "You have reached Ann Lee.")
        session.beep()
        await session.clock.sleep(0.3)
        await session.speak(6.0, "Please say your name and number.")
        session.beep()

    stage = Stage()
    assert not stage.call(beeps_twice, "Call us back.")[0]
    [(_, at)] = stage.session.said
    assert at == pytest.approx(8.0 + 0.3 + 6.0 + 2 * VAD + 0.6, abs=0.02)


def test_noise_that_goes_on_after_the_beep_does_not_delay_the_message() -> None:
    async def is_noisy(session: Session) -> None:
        session.state("speaking", "listening")
        session.words("Please leave a message.")
        await session.clock.sleep(8.0)
        session.beep()

    stage = Stage()
    assert not stage.call(is_noisy, "Call us back.")[0]
    [(_, at)] = stage.session.said
    assert at == pytest.approx(8.6, abs=0.02)


def test_a_machine_that_an_earlier_agent_has_found_is_not_greeted() -> None:
    async def waits_for_a_message(session: Session) -> None:
        await session.clock.sleep(5.0)

    stage = Stage()
    assert not stage.call(waits_for_a_message, "Call us back.", is_machine=True)[0]
    assert [words for words, _ in stage.session.said] == ["Call us back."]
    assert stage.found == ["machine", "voicemail"]


def test_a_message_that_a_beep_cuts_off_is_said_from_its_beginning() -> None:
    async def pauses_before_its_beep(session: Session) -> None:
        await session.speak(8.0, "Please leave a message.")
        await session.clock.sleep(4.0)
        assert len(session.said) == 1
        session.beep()

    stage = Stage()
    assert not stage.call(pauses_before_its_beep, "Call us back.")[0]
    (_, first), (_, again) = stage.session.said
    assert again - first == pytest.approx(4.0 - 3.0 + VAD + 0.6, abs=0.05)
    assert stage.session.ended_at == pytest.approx(again + 2.0, abs=0.02)
    assert stage.found == ["machine", "voicemail"]


def test_words_of_a_machine_after_its_short_hello_undo_the_verdict() -> None:
    stage = Stage()

    async def main() -> None:
        callee = Callee(
            stage.ask, stage.found.append, message="Bye.", vad_silence=VAD, clock=stage.clock
        )
        session: Any = stage.session
        callee.follow(session)
        session.state("speaking", "listening")
        await stage.clock.sleep(0.5)
        session.state("listening", "speaking")
        assert await callee.is_person(session)
        assert not callee.is_late_machine("Yes, what is it?")
        assert callee.is_late_machine("you have reached Ann, leave a message")
        assert callee.is_unknown
        await stage.clock.sleep(10.0)
        await callee.aclose()

    stage.clock.run(main())
    assert stage.session.interrupted == 1
    assert [words for words, _ in stage.session.said] == ["Bye."]
    assert stage.found == ["person", "machine", "voicemail"]


def test_a_party_that_hangs_up_is_waited_for_no_longer() -> None:
    async def hangs_up(session: Session) -> None:
        await session.clock.sleep(1.0)
        session.leave()

    stage = Stage()
    found, at = stage.call(hangs_up, "Bye.")
    assert found is False
    assert at == pytest.approx(1.0, abs=0.02)
    assert (stage.session.said, stage.found) == ([], [])


def test_no_message_is_left_on_a_machine_that_hangs_up() -> None:
    async def hangs_up(session: Session) -> None:
        await session.speak(8.0, "Please leave a message.")
        session.leave()

    stage = Stage()
    assert not stage.call(hangs_up, "Bye.")[0]
    assert (stage.session.said, stage.found) == ([], ["machine"])


def test_a_party_that_is_lost_with_livekit_has_not_hung_up() -> None:
    async def is_lost(session: Session) -> None:
        await session.clock.sleep(0.5)
        session.state("speaking", "listening")
        session.room.lose()
        await session.clock.sleep(3.0)
        session.room.is_back(session.phone)
        session.state("listening", "speaking")
        session.words("Please leave a message.")

    stage = Stage()
    assert not stage.call(is_lost, "Bye.")[0]
    assert [words for words, _ in stage.session.said] == ["Bye."]
    assert stage.found == ["machine", "voicemail"]


def test_a_person_for_another_call_who_leaves_is_not_the_party() -> None:
    async def another_leaves(session: Session) -> None:
        session.room.leave(session.room.enter(f"{PERSON}1"))
        await says_hello(session)

    stage = Stage()
    assert stage.call(another_leaves)[0]
