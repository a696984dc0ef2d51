"""What the embedded TTS says."""

import asyncio

import pytest

from agent.tts import load
from agent.tts.base import TTSOptions
from agent.tts.embedded import EmbeddedTTS, create
from llm_router.errors import ConfigurationError
from tests.contracts.voices import REPLY, say, seconds, sound


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "it", "pt", "nl", "pt-BR", "en-GB"])
async def test_the_embedded_engine_speaks_many_languages(language: str) -> None:
    assert seconds(await say(load("embedded", TTSOptions(language=language)), "Hallo 12")) > 0.5


async def test_a_language_has_a_voice_of_its_own() -> None:
    english, german = (load("embedded", TTSOptions(language=tag)) for tag in ("en", "de"))
    assert sound(await say(english, "Wind")) != sound(await say(german, "Wind"))


@pytest.mark.parametrize("options", [TTSOptions(language="xx"), TTSOptions(voice="ash")])
def test_a_voice_that_does_not_exist_is_refused(options: TTSOptions) -> None:
    with pytest.raises(ConfigurationError, match=f"no voice for '{options.voice or 'xx'}'"):
        load("embedded", options)


@pytest.mark.parametrize("text", ["…", "?!", "a\0b", "\ud800 well", "<speak>one</speak>"])
async def test_a_text_that_is_hard_to_say_is_no_error(text: str) -> None:
    assert seconds(await say(load("embedded", TTSOptions()), text)) > 0


async def test_clauses_said_one_by_one_last_as_long_as_the_whole() -> None:
    text = "Sure, I can help with that, of course. When do you come?"
    voice = load("embedded", TTSOptions())
    whole = [audio.frame async for audio in voice.synthesize(text)]
    assert seconds(await say(voice, text)) == pytest.approx(seconds(whole), abs=0.1)


async def test_voices_side_by_side_do_not_mix() -> None:
    """Told apart by the time they take, which is 0.1 s and more: espeak-ng's hiss is random."""
    voices = [load("embedded", TTSOptions(language=tag)) for tag in ("en", "de", "fr")]
    alone = [seconds(await say(voice, REPLY)) for voice in voices]
    together = await asyncio.gather(*(say(voice, REPLY) for voice in voices))
    assert [seconds(frames) for frames in together] == pytest.approx(alone, abs=0.05)


async def test_espeak_stops_when_nobody_listens() -> None:
    engine: EmbeddedTTS = create(TTSOptions())
    heard: list[bytes] = []

    def leave_after_one(samples: bytes) -> bool:
        heard.append(samples)
        return False

    def say_much() -> None:
        engine.espeak.say(REPLY * 100, engine.voice, leave_after_one)

    await asyncio.wrap_future(engine.espeak.thread.submit(say_much))
    assert len(heard) == 1
    assert seconds(await say(load("embedded", TTSOptions()), "Hello.")) > 0.3
