"""Tests what the embedded STT transcribes, and how it recovers."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
from livekit import rtc
from livekit.agents import APIError
from livekit.agents.stt import SpeechEvent, SpeechEventType, STTError

from agent.speech.stt import STTOptions
from agent.stt import load
from agent.stt.embedded import EmbeddedSTT, create
from llm_router.clock import checkpoint
from llm_router.errors import ConfigurationError
from tests.contracts.stt_sentences import (
    RATE,
    SENTENCES,
    has_key_words,
    push,
    samples,
    transcribe,
    words,
)


@pytest.fixture
async def engine() -> AsyncIterator[EmbeddedSTT]:
    engine = EmbeddedSTT()
    yield engine
    await engine.aclose()


@pytest.mark.parametrize("name", SENTENCES)
async def test_the_key_words_of_a_sentence_are_transcribed(engine: EmbeddedSTT, name: str) -> None:
    transcript = words(await transcribe(engine, name))
    assert has_key_words(transcript, name), transcript


async def test_a_flush_ends_the_utterance_and_the_stream_goes_on(engine: EmbeddedSTT) -> None:
    async with engine.stream() as stream:
        for name in ("what_time", "stop_please"):
            push(stream, samples(name))
            stream.flush()
            events: list[SpeechEvent] = []
            while not events or events[-1].type is not SpeechEventType.END_OF_SPEECH:
                events.append(await anext(stream))
            assert has_key_words(words(events), name)


async def test_interim_transcripts_come_first_and_a_preflight_one_in_the_pause(
    engine: EmbeddedSTT,
) -> None:
    events = await transcribe(engine, "my_bill")
    kinds = [event.type for event in events]
    assert kinds.index(SpeechEventType.INTERIM_TRANSCRIPT) < kinds.index(
        SpeechEventType.PREFLIGHT_TRANSCRIPT
    )
    assert kinds[-4:] == [
        SpeechEventType.PREFLIGHT_TRANSCRIPT,
        SpeechEventType.FINAL_TRANSCRIPT,
        SpeechEventType.END_OF_SPEECH,
        SpeechEventType.RECOGNITION_USAGE,
    ]
    assert has_key_words(events[-4].alternatives[0].text, "my_bill")


@pytest.mark.parametrize("name", SENTENCES)
async def test_an_early_answer_is_to_the_words_that_become_final(
    engine: EmbeddedSTT, name: str
) -> None:
    events = await transcribe(engine, name)
    early = [event for event in events if event.type is SpeechEventType.PREFLIGHT_TRANSCRIPT]
    assert early[-1].alternatives[0].text == words(events)


async def test_an_utterance_continues_after_a_rest(engine: EmbeddedSTT) -> None:
    async with engine.stream() as stream:
        push(stream, samples("what_time") + samples("stop_please"))  # a second apart
        stream.end_input()
        events = [event async for event in stream]
    assert [event.type for event in events].count(SpeechEventType.FINAL_TRANSCRIPT) == 1
    assert has_key_words(words(events), "what_time")
    assert has_key_words(words(events), "stop_please")


async def test_words_come_with_their_confidence(engine: EmbeddedSTT) -> None:
    final = [
        event for event in await transcribe(engine, "my_bill") if event.type == "final_transcript"
    ]
    assert 0.5 < final[0].alternatives[0].confidence <= 1


async def test_a_spare_makes_no_decoder_before_it_is_used() -> None:
    before = _decoding_threads()
    spare = create(STTOptions(is_spare=True))
    assert _decoding_threads() <= before
    transcript = words(await transcribe(spare, "what_time"))
    assert _decoding_threads() - before
    await spare.aclose()
    assert has_key_words(transcript, "what_time")


def _decoding_threads() -> set[threading.Thread]:
    """Returns the threads on which decoders are made and used."""
    return {one for one in threading.enumerate() if one.name.startswith("pocketsphinx")}


async def test_silence_is_no_speech(engine: EmbeddedSTT) -> None:
    async with engine.stream() as stream:
        push(stream, bytes(10 * RATE))
        stream.end_input()
        assert [event async for event in stream] == []


async def test_streams_side_by_side_do_not_mix(engine: EmbeddedSTT) -> None:
    names = ["what_time", "cancel_appointment", "real_person"]
    transcripts = await asyncio.gather(*(transcribe(engine, name) for name in names))
    for name, events in zip(names, transcripts, strict=True):
        assert has_key_words(words(events), name)


async def test_a_stream_cut_off_in_mid_word_does_not_disturb_the_next(engine: EmbeddedSTT) -> None:
    async with engine.stream() as stream:
        push(stream, samples("cancel_appointment")[: 3 * RATE])
        await anext(stream)
    assert has_key_words(words(await transcribe(engine, "what_time")), "what_time")


async def test_a_whole_utterance_at_another_rate_is_transcribed(engine: EmbeddedSTT) -> None:
    pcm = samples("what_time")
    resampler = rtc.AudioResampler(RATE, 48_000)
    frames = [*resampler.push(bytearray(pcm)), *resampler.flush()]
    event = await engine.recognize(frames)
    assert has_key_words(event.alternatives[0].text, "what_time")


async def test_a_decoder_that_fails_is_replaced(engine: EmbeddedSTT) -> None:
    errors: list[STTError] = []
    engine.on("error", errors.append)

    def spoil() -> None:
        """Leaves an utterance open in the decoder, so that the stream cannot begin one."""
        engine._idle[0].start()

    await asyncio.wrap_future(engine._thread.submit(spoil))
    transcript = words(await transcribe(engine, "what_time"))
    assert "saturday" in transcript.split()
    assert [error.recoverable for error in errors] == [True]
    assert isinstance(errors[0].error, APIError)


async def test_the_loop_runs_while_the_decoder_works(engine: EmbeddedSTT) -> None:
    with engine.lend() as decoder:
        decoding = asyncio.ensure_future(
            engine.run(decoder, decoder.process, samples("cancel_appointment"))
        )
        steps = 0
        while not decoding.done():
            await checkpoint()
            steps += 1
    assert steps > 100  # with the interpreter lock held there are a handful


async def test_a_closed_engine_leaves_no_thread() -> None:
    engine = EmbeddedSTT()
    stream = engine.stream()
    push(stream, samples("what_time"))
    await anext(stream)
    threads = list(engine._thread._threads)
    assert threads
    await engine.aclose()
    for thread in threads:
        await asyncio.to_thread(thread.join, 10)
        assert not thread.is_alive()
    with pytest.raises(RuntimeError, match=r"closed|ended"):
        push(stream, samples("what_time"))


def test_another_language_than_english_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="English only, not 'de'"):
        load("embedded", STTOptions(language="de"))
