"""Tests what the whisper STT transcribes, and how it works with the speech process."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, stt
from livekit.agents.stt import SpeechEvent, SpeechEventType

from agent.speech.stt import STTOptions
from agent.stt import load
from agent.stt.whisper import WhisperSTT, create
from tests.contracts.stt_sentences import (
    RATE,
    SENTENCES,
    has_key_words,
    push,
    samples,
    transcribe,
    words,
)
from tests.sounds.channels import telephone
from tests.sounds.non_speech import NON_SPEECH
from tests.sounds.samples import read_sound, silence
from tests.sounds.short_words.make_short_words import VOICES, path

TAKEN_FOR = {("awb", "yes"): ["us"], ("kal", "no"): ["nope"]}
"""Other words that tiny.en takes a short word for: still, the caller said something."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[WhisperSTT]:
    engine = create(STTOptions(timeout=30))
    yield engine
    await engine.aclose()


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def events_of(engine: stt.STT[object], pcm: bytes) -> list[SpeechEvent]:
    async with engine.stream() as stream:
        push(stream, pcm)
        stream.end_input()
        return [event async for event in stream]


@pytest.mark.parametrize("name", SENTENCES)
async def test_the_key_words_of_a_sentence_are_transcribed(engine: WhisperSTT, name: str) -> None:
    transcript = words(await transcribe(engine, name))
    assert has_key_words(transcript, name), transcript


@pytest.mark.parametrize("name", SENTENCES)
async def test_the_key_words_are_transcribed_through_a_telephone(
    engine: WhisperSTT, name: str
) -> None:
    sound = telephone(np.frombuffer(samples(name), np.int16))
    transcript = words(await events_of(engine, sound.tobytes()))
    assert has_key_words(transcript, name), transcript


@pytest.mark.parametrize("around", [0.0, 0.5])
@pytest.mark.parametrize("name", NON_SPEECH)
async def test_a_sound_without_speech_has_no_words(
    engine: WhisperSTT, name: str, around: float
) -> None:
    sound = np.concatenate([silence(around), NON_SPEECH[name](), silence(around)])
    spoken = [event for event in await events_of(engine, sound.tobytes()) if event.alternatives]
    assert spoken == []


@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("text", ["yes", "no", "you", "thank you", "goodbye"])
async def test_a_short_word_alone_is_transcribed(engine: WhisperSTT, voice: str, text: str) -> None:
    sound = np.concatenate([silence(0.5), read_sound(path(voice, text)), silence(0.5)])
    transcript = words(await events_of(engine, sound.tobytes()))
    assert plain(transcript) in {text.replace(" ", ""), *TAKEN_FOR.get((voice, text), ())}


def plain(text: str) -> str:
    return "".join(filter(str.isalpha, text.lower()))


async def test_a_flush_ends_the_utterance_and_the_stream_goes_on(engine: WhisperSTT) -> None:
    async with engine.stream() as stream:
        for name in ("what_time", "stop_please"):
            push(stream, samples(name))
            stream.flush()
            events: list[SpeechEvent] = []
            while not events or events[-1].type is not SpeechEventType.END_OF_SPEECH:
                events.append(await anext(stream))
            assert has_key_words(words(events), name)


async def test_an_utterance_continues_after_a_rest(engine: WhisperSTT) -> None:
    events = await events_of(engine, samples("what_time") + samples("stop_please"))
    assert [event.type for event in events].count(SpeechEventType.FINAL_TRANSCRIPT) == 1
    assert has_key_words(words(events), "what_time")
    assert has_key_words(words(events), "stop_please")


async def test_a_long_utterance_is_transcribed_to_its_end(engine: WhisperSTT) -> None:
    """It is 20 s long, while a decode covers 12 s at most."""
    names = [*SENTENCES]
    spoken = b"".join(samples(name)[RATE // 2 : -RATE // 2] for name in names)
    events = await events_of(engine, spoken + bytes(RATE))
    transcript = words(events)
    for name in names:
        assert has_key_words(transcript, name), (name, transcript)


async def test_the_last_events_are_the_final_words_and_the_usage(engine: WhisperSTT) -> None:
    kinds = [event.type for event in await transcribe(engine, "my_bill")]
    assert kinds[0] is SpeechEventType.START_OF_SPEECH
    assert kinds[-3:] == [
        SpeechEventType.FINAL_TRANSCRIPT,
        SpeechEventType.END_OF_SPEECH,
        SpeechEventType.RECOGNITION_USAGE,
    ]


async def test_words_come_with_their_confidence(engine: WhisperSTT) -> None:
    final = [
        event for event in await transcribe(engine, "my_bill") if event.type == "final_transcript"
    ]
    assert 0.5 < final[0].alternatives[0].confidence <= 1


async def test_silence_is_no_speech(engine: WhisperSTT) -> None:
    assert await events_of(engine, bytes(10 * RATE)) == []


async def test_streams_side_by_side_do_not_mix(engine: WhisperSTT) -> None:
    names = ["what_time", "cancel_appointment", "real_person"]
    transcripts = await asyncio.gather(*(transcribe(engine, name) for name in names))
    for name, events in zip(names, transcripts, strict=True):
        assert has_key_words(words(events), name)


@pytest.mark.parametrize("count", [0, 1])
async def test_a_whole_utterance_of_no_length_has_no_words(engine: WhisperSTT, count: int) -> None:
    event = await engine.recognize(rtc.AudioFrame(bytes(2 * count), RATE, 1, count))
    assert event.alternatives[0].text == ""


async def test_a_whole_utterance_at_another_rate_is_transcribed(engine: WhisperSTT) -> None:
    pcm = samples("what_time")
    resampler = rtc.AudioResampler(RATE, 48_000)
    frames = [*resampler.push(bytearray(pcm)), *resampler.flush()]
    event = await engine.recognize(frames)
    assert has_key_words(event.alternatives[0].text, "what_time")


async def test_a_whole_utterance_of_minutes_is_transcribed(engine: WhisperSTT) -> None:
    pcm = b"".join(samples(name) for name in SENTENCES)
    event = await engine.recognize(rtc.AudioFrame(pcm, RATE, 1, len(pcm) // 2))
    for name in SENTENCES:
        assert has_key_words(event.alternatives[0].text, name)


async def test_a_model_that_does_not_load_is_an_error_with_its_reason(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "model.bin").write_bytes(b"no model")
    (folder / "tokenizer.json").write_text("{}")
    engine = create(STTOptions(model=str(folder)))
    async with engine.stream(conn_options=APIConnectOptions(max_retry=0)) as stream:
        push(stream, samples("what_time"))
        with pytest.raises(APIConnectionError, match="it is damaged, or no faster-whisper model"):
            _ = [event async for event in stream]
    await engine.aclose()


async def test_the_embedded_engine_gets_the_words_of_a_model_that_does_not_load(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "model.bin").write_bytes(b"no model")
    (folder / "tokenizer.json").write_text("{}")
    engine = load("whisper", STTOptions(model=str(folder)))
    assert has_key_words(words(await transcribe(engine, "what_time")), "what_time")
    await engine.aclose()
