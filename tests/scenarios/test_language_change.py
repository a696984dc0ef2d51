"""Scenarios of a caller who changes the language, in a whole session of LiveKit's."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectOptions, LanguageCode, stt
from livekit.agents.stt import SpeechData, SpeechEvent, SpeechEventType
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr
from livekit.agents.voice import io

from agent.assistant import Assistant
from agent.budget import CallLimits
from agent.guard import CallGuard
from agent.languages import CallLanguages, LanguageRule
from agent.session import Engines, TurnOptions, build_session
from agent.speech.voices import Voices
from llm_router.integrations.livekit import RouterLLM
from llm_router.routing.phrases import Phrases
from llm_router.testing import ManualClock, ScriptedProvider, open_scripted_router, say
from tests.scenarios.test_voiced_history import Loudspeaker, SteadyTTS

PHRASES = Phrases({"de": {"goodbye": ["Auf Wiederhören."]}, "en": {"goodbye": ["Goodbye."]}})
ENGLISH = "Hello, do you have a table for us?"
GERMAN = "Sprechen Sie auch Deutsch, oder nur Englisch?"


class Voice(SteadyTTS):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def synthesize(self, text: str, **options: Any) -> Any:
        self.texts.append(text)
        return super().synthesize(text, **options)


class Ear(stt.STT[Any]):
    """Gives the transcripts that the test puts into its queue, each as a turn."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self.turns: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> "_Stream":
        return _Stream(self, conn_options)

    async def _recognize_impl(self, *_: Any, **__: Any) -> SpeechEvent:
        raise NotImplementedError


class _Stream(stt.RecognizeStream):
    def __init__(self, ear: Ear, conn_options: APIConnectOptions) -> None:
        super().__init__(stt=ear, conn_options=conn_options)
        self._ear = ear

    async def _run(self) -> None:
        while True:
            language, text = await self._ear.turns.get()
            data = [SpeechData(language=LanguageCode(language), text=text, confidence=1.0)]
            self._event_ch.send_nowait(SpeechEvent(SpeechEventType.START_OF_SPEECH))
            for kind in (SpeechEventType.PREFLIGHT_TRANSCRIPT, SpeechEventType.FINAL_TRANSCRIPT):
                self._event_ch.send_nowait(SpeechEvent(kind, alternatives=data))
            self._event_ch.send_nowait(SpeechEvent(SpeechEventType.END_OF_SPEECH))


class Silence(io.AudioInput):
    """A microphone that stays open."""

    def __init__(self) -> None:
        super().__init__(label="silence")

    def __aiter__(self) -> AsyncIterator[rtc.AudioFrame]:
        return self

    async def __anext__(self) -> rtc.AudioFrame:
        await asyncio.Event().wait()
        raise StopAsyncIteration


def answered(turns: Sequence[tuple[str, str]]) -> tuple[ScriptedProvider, Voice, Voice, CallGuard]:
    """Lets the caller say the turns; returns the model, both voices and the guard."""
    clock = ManualClock()

    async def run() -> tuple[ScriptedProvider, Voice, Voice, CallGuard]:
        model = ScriptedProvider([say("It is so.") for _ in range(9)], clock=clock)
        ear, english, german = Ear(), Voice(), Voice()
        voices = Voices("en", english)
        voices.add("de", german)
        languages = CallLanguages(LanguageRule(["en", "de"]), lambda: voices.languages)
        guard = CallGuard(CallLimits(), PHRASES, "en", clock)
        agent = Assistant(
            instructions="Be brief.",
            phrases=PHRASES,
            language="en",
            filler_after=60.0,
            greeting="",
            guard=guard,
            languages=languages,
        )
        async with open_scripted_router({"model": model}, clock) as router:
            llm = RouterLLM(router)
            languages.tell(voices, guard, llm)
            engines = Engines(stt=ear, tts=voices, vad=None)  # type: ignore[arg-type]
            async with build_session(llm, engines, TurnOptions(detection="vad")) as session:
                session.input.audio = Silence()
                session.output.audio = Loudspeaker()
                await session.start(agent)
                for turn in turns:
                    ear.turns.put_nowait(turn)
                    await clock.sleep(20.0)
        return model, english, german, guard

    return clock.run(run())


def test_a_caller_who_goes_on_in_german_is_answered_in_german_from_that_turn_on() -> None:
    model, english, german, guard = answered([("en", ENGLISH), ("de", GERMAN), ("de", "Danke!")])
    assert "".join(english.texts) == "It is so."
    assert "".join(german.texts) == "It is so.It is so."
    asked = {
        str(request.messages[-1]["content"]): str(request.messages[0]["content"])
        for request in model.requests
    }
    assert asked[ENGLISH] == "Be brief."
    # The reply that was begun before the turn's end was to the old instructions, and is void.
    assert "The caller speaks German (de) now" in asked[GERMAN]
    assert "The caller speaks German (de) now" in asked["Danke!"]
    assert guard.language == "de"


def test_an_engine_that_knows_one_language_leaves_the_call_in_it() -> None:
    model, _, german, guard = answered([("", ENGLISH), ("", GERMAN), ("", GERMAN)])
    assert not german.texts
    assert {str(request.messages[0]["content"]) for request in model.requests} == {"Be brief."}
    assert guard.language == "en"
