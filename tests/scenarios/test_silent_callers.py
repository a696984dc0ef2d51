"""Scenarios of a silent caller, in a session with a voice: words count, and noise does not."""

from collections.abc import Awaitable, Callable

from livekit.agents import AgentSession, UserInputTranscribedEvent

from agent.budget import CallLimits
from agent.guard import CallGuard
from llm_router import open_router
from llm_router.connections.record import Connection
from llm_router.integrations.livekit import RouterLLM
from llm_router.routing.phrases import Phrases
from llm_router.testing.clock import ManualClock
from tests.contracts.voiced import ClickTTS, voiced

ASK, BYE, SOON, LATE = "Still there?", "Bye.", "A minute left.", "Time is up."
PHRASES = Phrases(
    {"en": {"still_there": [ASK], "goodbye": [BYE], "limit.soon": [SOON], "limit.time": [LATE]}}
)
Session = AgentSession[None]


def said_in(limits: CallLimits, caller: Callable[[Session, ManualClock], Awaitable[None]]) -> str:
    """Runs a call with these limits while `caller` acts, and returns the agent's words in it."""
    clock = ManualClock()

    async def run() -> str:
        guard = CallGuard(limits, PHRASES, "en", clock)
        async with (
            open_router([Connection(name="desk", provider="offline")]) as router,
            voiced(RouterLLM(router)) as session,
        ):
            guard.start(session)
            await caller(session, clock)
            await guard.aclose()
            assert isinstance(session.tts, ClickTTS)
            return " ".join(session.tts.said)

    return clock.run(run())


async def speak(session: Session, words: str, *, is_final: bool) -> None:
    session.emit(
        "user_input_transcribed", UserInputTranscribedEvent(transcript=words, is_final=is_final)
    )


def test_a_line_with_noise_and_no_word_counts_as_silent() -> None:
    async def noise(session: Session, clock: ManualClock) -> None:
        for _ in range(10):
            session._update_user_state("speaking")
            await clock.sleep(3.0)
            session._update_user_state("listening")
            await clock.sleep(0.5)

    assert said_in(CallLimits(silence=10), noise) == f"{ASK} {ASK} {BYE}"


def test_noise_without_an_end_does_not_cut_off_the_question() -> None:
    async def noise(session: Session, clock: ManualClock) -> None:
        session._update_user_state("speaking")
        await clock.sleep(35.0)

    assert said_in(CallLimits(silence=10), noise) == f"{ASK} {ASK} {BYE}"


def test_a_caller_whose_words_come_in_is_never_asked() -> None:
    async def talk(session: Session, clock: ManualClock) -> None:
        for number in range(10):
            await clock.sleep(8.0)
            await speak(session, "so as I was saying", is_final=bool(number % 2))

    assert said_in(CallLimits(silence=10), talk) == ""


def test_a_transcript_without_a_word_is_no_sign_of_the_caller() -> None:
    async def murmur(session: Session, clock: ManualClock) -> None:
        for _ in range(4):
            await clock.sleep(4.0)
            await speak(session, " ", is_final=True)

    assert said_in(CallLimits(silence=10), murmur) == ASK


def test_a_long_call_is_announced_a_minute_before_it_ends() -> None:
    async def stay(_: Session, clock: ManualClock) -> None:
        await clock.sleep(185.0)

    assert said_in(CallLimits(seconds=180), stay) == f"{SOON} {LATE}"


def test_the_announcement_waits_until_the_caller_pauses() -> None:
    async def interject(session: Session, clock: ManualClock) -> None:
        await clock.sleep(118.0)
        session._update_user_state("speaking")
        await clock.sleep(10.0)
        assert isinstance(session.tts, ClickTTS)
        assert session.tts.said == []
        session._update_user_state("listening")
        await clock.sleep(2.0)

    assert said_in(CallLimits(seconds=180), interject) == SOON
