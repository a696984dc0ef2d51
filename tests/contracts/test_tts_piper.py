"""Tests the Piper engine: which voice speaks, who speaks in its place, and that nothing is left."""

import json
from pathlib import Path

import pytest

from agent.speech.process.client import SOCKET
from agent.speech.tts import TTSOptions
from agent.tts import load, speech_model
from llm_router.errors import ConfigurationError
from tests.contracts.test_tts import speakers_of
from tests.contracts.tts_replies import REPLY, seconds, sound, synthesize
from tests.tiny_voice import RATE, write_voice


@pytest.fixture
def options(tmp_path: Path) -> TTSOptions:
    """Has an English voice, and a German one with two speakers."""
    write_voice(tmp_path / "piper", "en_GB-tiny-low")
    write_voice(tmp_path / "piper", "de_DE-zwei-low", speakers=["anna", "bernd"])
    return TTSOptions(models_folder=tmp_path)


def with_voice(options: TTSOptions, voice: str, language: str = "en") -> TTSOptions:
    return TTSOptions(models_folder=options.models_folder, voice=voice, language=language)


async def test_the_voice_itself_speaks_each_sentence(options: TTSOptions) -> None:
    engine = load("piper", options)
    spoke = speakers_of(engine)
    frames = await synthesize(engine, REPLY)
    await engine.aclose()
    assert [label.rsplit(".", 1)[1] for label in spoke] == ["ProcessTTS"] * 3
    assert seconds(frames) > 1


async def test_the_first_sound_comes_before_the_text_is_spoken(options: TTSOptions) -> None:
    engine = load("piper", options, fallback=False)
    async with engine.stream() as stream:
        stream.push_text("We open at nine in the morning on Saturday")
        stream.end_input()
        first = await anext(stream)
        rest = [audio.frame async for audio in stream]
    await engine.aclose()
    assert first.frame.duration < 0.3
    assert seconds(rest) > 1


async def test_signs_are_read_as_people_say_them(options: TTSOptions) -> None:
    engine = load("piper", options, fallback=False)
    written, said = [
        sound(await synthesize(engine, text)) for text in ("It is $5", "It is 5 dollars")
    ]
    await engine.aclose()
    assert written == said


async def test_speakers_and_speeds_differ(options: TTSOptions) -> None:
    spoken = []
    for voice, speed in (("anna", 1.0), ("bernd", 1.0), ("anna", 2.0)):
        chosen = TTSOptions(
            models_folder=options.models_folder,
            voice=f"de_DE-zwei-low#{voice}",
            language="de",
            speed=speed,
        )
        engine = load("piper", chosen, fallback=False)
        spoken.append(sound(await synthesize(engine, "Hallo zusammen")))
        await engine.aclose()
    anna, bernd, fast = spoken
    assert anna != bernd
    assert len(fast) == pytest.approx(len(anna) / 2, rel=0.1)


async def test_the_embedded_engine_speaks_while_the_speech_process_is_away(
    options: TTSOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(SOCKET, str(tmp_path / "gone"))
    engine = load("piper", options)
    spoke = speakers_of(engine)
    frames = await synthesize(engine, REPLY)
    await engine.aclose()
    assert [label.rsplit(".", 1)[1] for label in spoke] == ["EmbeddedTTS"] * 3
    assert seconds(frames) > 2


@pytest.mark.parametrize(
    ("voice", "language", "chosen"),
    [
        ("", "en-US", "en_GB-tiny-low"),
        ("", "de", "de_DE-zwei-low"),
        ("en_GB-tiny-low", "en", "en_GB-tiny-low"),
        ("de_DE-zwei-low#bernd", "de", "de_DE-zwei-low"),
        ("{folder}/piper/en_GB-tiny-low.onnx", "en", "en_GB-tiny-low"),
    ],
)
def test_a_voice_is_chosen_by_name_path_or_language(
    voice: str, language: str, chosen: str, options: TTSOptions
) -> None:
    folder = options.models_folder
    asked = with_voice(options, voice.format(folder=folder), language)
    speaker = voice.partition("#")[2]
    expected = f"piper:{folder}/piper/{chosen}.onnx" + (f"#{speaker}" if speaker else "")
    assert speech_model("piper", asked) == expected
    engine = load("piper", asked, fallback=False)
    assert engine.model == chosen
    assert engine.sample_rate == RATE


@pytest.mark.parametrize(
    ("voice", "language", "reason"),
    [
        ("jo", "en", "TTS_VOICE=jo: .* it has de_DE-zwei-low, en_GB-tiny-low"),
        ("", "fr", "no Piper voice speaks 'fr'"),
        ("en_GB-tiny-low", "de", "tiny-low speaks 'en', and AGENT_LANGUAGE is 'de': leave"),
        ("de_DE-zwei-low#carl", "de", "no speaker 'carl', of 2: anna, bernd"),
        ("de_DE-zwei-low#2", "de", "no speaker '2', of 2: anna, bernd"),
        ("en_GB-tiny-low#anna", "en", "no speaker 'anna', but one"),
    ],
)
def test_a_voice_that_cannot_be_used_is_refused_in_one_sentence(
    voice: str, language: str, reason: str, options: TTSOptions
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        load("piper", with_voice(options, voice, language))


def test_the_description_of_an_old_voice_is_enough(options: TTSOptions) -> None:
    description = options.models_folder / "piper" / "en_GB-tiny-low.onnx.json"
    content = json.loads(description.read_text(encoding="utf-8"))
    del content["language"], content["speaker_id_map"]
    content["espeak"]["voice"] = "en-gb-x-rp"
    description.write_text(json.dumps(content), encoding="utf-8")
    assert load("piper", options, fallback=False).model == "en_GB-tiny-low"


@pytest.mark.parametrize("content", [None, "[]", "{}", "<html>", '{"audio": {"sample_rate": "x"}}'])
def test_a_description_that_is_missing_or_wrong_is_named(
    content: str | None, options: TTSOptions
) -> None:
    path = options.models_folder / "piper" / "en_GB-tiny-low.onnx"
    description = Path(f"{path}.json")
    description.unlink()
    if content is not None:
        description.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"en_GB-tiny-low.onnx.json (beside|does not)"):
        load("piper", with_voice(options, str(path)))


@pytest.mark.parametrize("speed", [0.4, 2.1])
def test_a_speed_that_no_voice_has_is_refused(speed: float) -> None:
    with pytest.raises(ConfigurationError, match=r"speed must be between 0.5 and 2.0"):
        TTSOptions(speed=speed)
