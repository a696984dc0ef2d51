"""Tests that no words are lost, and none doubled, when one recogniser takes over from another."""

import asyncio
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, LanguageCode, stt
from livekit.agents.stt import SpeechEvent, SpeechEventType
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr
from livekit.agents.utils import AudioBuffer

from agent.speech.failover import FailoverStream
from llm_router.testing import ManualClock

FAILS = 99
"""The sound on which a brittle engine fails."""
OVER = 98
"""The silence after which an engine ends a turn by itself."""


class Counter(stt.STT[Any]):
    """Transcribes each turn as the values of its frames: one frame is one word. OVER ends it, too.

    `is_brittle`: it fails on the frame of value FAILS.
    """

    def __init__(self, name: str, *, is_brittle: bool) -> None:
        super().__init__(
            capabilities=stt.STTCapabilities(
                streaming=True, interim_results=True, manual_flush=True
            )
        )
        self._label = name
        self.is_brittle = is_brittle

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        return CounterStream(stt=self, conn_options=conn_options)

    async def _recognize_impl(
        self,
        buffer: AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> SpeechEvent:
        raise NotImplementedError


class CounterStream(stt.RecognizeStream):
    async def _run(self) -> None:
        engine = self._stt
        assert isinstance(engine, Counter)
        values: list[int] = []
        async for item in self._input_ch:
            if isinstance(item, rtc.AudioFrame) and item.data[0] != OVER:
                if not values:
                    self._event_ch.send_nowait(SpeechEvent(SpeechEventType.START_OF_SPEECH))
                values.append(item.data[0])
                if engine.is_brittle and values[-1] == FAILS:
                    raise APIConnectionError("away")
            elif values:
                text = f"{engine.label}: {' '.join(map(str, values))}"
                data = stt.SpeechData(language=LanguageCode("en"), text=text)
                final = SpeechEventType.FINAL_TRANSCRIPT
                self._event_ch.send_nowait(SpeechEvent(final, alternatives=[data]))
                self._event_ch.send_nowait(SpeechEvent(SpeechEventType.END_OF_SPEECH))
                values = []


def frame(value: int, seconds: float = 0.1) -> rtc.AudioFrame:
    samples = int(seconds * 16_000)
    return rtc.AudioFrame(value.to_bytes(2, "little") * samples, 16_000, 1, samples)


class Call:
    """A stream over two engines, the first of which fails on some sounds."""

    def __init__(self, *, spare_is_brittle: bool = False) -> None:
        self.first = Counter("first", is_brittle=True)
        engines: list[stt.STT[Any]] = [
            self.first,
            Counter("spare", is_brittle=spare_is_brittle),
        ]
        self.adapter = stt.FallbackAdapter(engines)
        self.clock = ManualClock()
        self.stream = FailoverStream(
            self.adapter,
            engines,
            timeout=1,
            language=NOT_GIVEN,
            conn_options=APIConnectOptions(max_retry=0),
            clock=self.clock,
        )

    async def say(self, *values: int) -> str:
        """Says a turn, and returns its transcript."""
        for value in values:
            self.stream.push_frame(frame(value))
        if values[-1] != OVER:
            self.stream.flush()
        kinds: list[SpeechEventType] = []
        text = ""
        while SpeechEventType.END_OF_SPEECH not in kinds:
            event = await anext(self.stream)
            kinds.append(event.type)
            if event.alternatives:
                text = event.alternatives[0].text
        assert kinds.count(SpeechEventType.START_OF_SPEECH) == 1
        return text

    async def aclose(self) -> None:
        await self.stream.aclose()
        await self.adapter.aclose()


async def test_the_spare_gets_the_words_from_the_begin_of_the_turn() -> None:
    call = Call()
    assert await call.say(1, 2) == "first: 1 2"
    assert await call.say(3, FAILS, 4) == f"spare: 3 {FAILS} 4"
    assert await call.say(5) == "spare: 5"
    await call.aclose()


async def test_a_turn_that_has_ended_is_not_given_again() -> None:
    call = Call()
    assert await call.say(1, 2) == "first: 1 2"
    assert await call.say(FAILS) == f"spare: {FAILS}"
    await call.aclose()


async def test_a_flush_after_the_engine_has_ended_the_turn_gives_no_later_turn_again() -> None:
    call = Call()
    assert await call.say(1, 2, OVER) == "first: 1 2"
    call.stream.flush()
    assert await call.say(3) == "first: 3"
    assert await call.say(FAILS) == f"spare: {FAILS}"
    await call.aclose()


async def test_the_first_engine_is_back_after_a_turn_once_20_s_have_passed() -> None:
    call = Call()
    assert await call.say(FAILS) == f"spare: {FAILS}"
    call.clock.advance(21)
    assert await call.say(1) == "spare: 1"
    assert await call.say(2) == "first: 2"
    await call.aclose()


async def test_a_first_engine_that_fails_again_loses_no_words_either() -> None:
    call = Call()
    assert await call.say(FAILS) == f"spare: {FAILS}"
    call.clock.advance(21)
    assert await call.say(1) == "spare: 1"
    assert await call.say(2, FAILS) == f"spare: 2 {FAILS}"
    await call.aclose()


async def test_words_said_before_the_input_ended_are_transcribed_by_the_spare() -> None:
    call = Call()
    call.stream.push_frame(frame(1))
    call.stream.push_frame(frame(FAILS))
    call.stream.end_input()
    texts = [event.alternatives[0].text async for event in call.stream if event.alternatives]
    assert texts == [f"spare: 1 {FAILS}"]
    await call.aclose()


async def test_of_an_endless_turn_the_spare_gets_the_last_30_s() -> None:
    call = Call()
    text = await call.say(*range(1, 90), *[100] * 300, FAILS)
    assert len(text.split()) <= 301
    assert text.endswith(f"100 {FAILS}")
    await call.aclose()


async def test_when_every_engine_fails_so_does_the_stream() -> None:
    call = Call(spare_is_brittle=True)
    call.stream.push_frame(frame(FAILS))
    with pytest.raises(APIConnectionError, match="every STT engine of the call has failed"):
        _ = [event async for event in call.stream]
    await call.aclose()


async def test_a_closed_stream_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    call = Call()
    await call.say(1)
    await call.aclose()
    assert asyncio.all_tasks() == before
