"""Tests the embedded TTS."""

import asyncio

import numpy as np
import pytest

from agent.speech.process.sound import LEVEL, speech_level
from agent.speech.tts import TTSOptions
from agent.tts import load
from agent.tts.embedded import EmbeddedTTS, create
from llm_router.errors import ConfigurationError
from tests.contracts.tts_replies import REPLY, seconds, sound, synthesize


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "it", "pt", "nl", "pt-BR", "en-GB"])
async def test_the_embedded_engine_speaks_many_languages(language: str) -> None:
    assert (
        seconds(await synthesize(load("embedded", TTSOptions(language=language)), "Hallo 12")) > 0.5
    )


async def test_a_language_has_a_voice_of_its_own() -> None:
    english, german = (load("embedded", TTSOptions(language=tag)) for tag in ("en", "de"))
    assert sound(await synthesize(english, "Wind")) != sound(await synthesize(german, "Wind"))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (TTSOptions(language="xx"), "does not speak 'xx'"),
        (TTSOptions(voice="ash"), "has no voice 'ash'"),
    ],
)
def test_a_voice_that_does_not_exist_is_refused(options: TTSOptions, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        load("embedded", options)


@pytest.mark.parametrize("text", ["…", "?!", "a\0b", "\ud800 well", "<speak>one</speak>"])
async def test_a_text_that_is_hard_to_speak_is_no_error(text: str) -> None:
    assert seconds(await synthesize(load("embedded", TTSOptions()), text)) > 0


async def test_clauses_spoken_one_by_one_last_as_long_as_the_whole() -> None:
    text = "Sure, I can help with that, of course. When do you come?"
    engine = load("embedded", TTSOptions())
    whole = [audio.frame async for audio in engine.synthesize(text)]
    assert seconds(await synthesize(engine, text)) == pytest.approx(seconds(whole), abs=0.1)


async def test_half_the_speed_takes_about_twice_as_long() -> None:
    slow, fast = (load("embedded", TTSOptions(speed=speed)) for speed in (0.5, 1.0))
    ratio = seconds(await synthesize(slow, REPLY)) / seconds(await synthesize(fast, REPLY))
    assert 1.6 < ratio < 2.2


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
async def test_espeak_speaks_at_the_level_of_every_voice(language: str) -> None:
    engine = load("embedded", TTSOptions(language=language))
    samples = np.frombuffer(sound(await synthesize(engine, "1, 2, 3, 4, 5, 6, 7.")), np.int16)
    level = speech_level(samples.astype(np.float32) / np.float32(32_768), engine.sample_rate)
    assert level == pytest.approx(LEVEL, abs=2)


async def test_voices_side_by_side_do_not_mix() -> None:
    """Compares durations, which differ by 0.1 s and more: espeak-ng's hiss is random."""
    engines = [load("embedded", TTSOptions(language=tag)) for tag in ("en", "de", "fr")]
    alone = [seconds(await synthesize(engine, REPLY)) for engine in engines]
    together = await asyncio.gather(*(synthesize(engine, REPLY) for engine in engines))
    assert [seconds(frames) for frames in together] == pytest.approx(alone, abs=0.05)


async def test_espeak_stops_when_its_caller_leaves() -> None:
    engine: EmbeddedTTS = create(TTSOptions())
    taken: list[bytes] = []

    def leave_after_one(samples: bytes) -> bool:
        taken.append(samples)
        return False

    def speak_long() -> None:
        engine.espeak.say(REPLY * 100, engine.voice, leave_after_one)

    await asyncio.wrap_future(engine.espeak.thread.submit(speak_long))
    assert len(taken) == 1
    assert seconds(await synthesize(load("embedded", TTSOptions()), "Hello.")) > 0.3
