"""Tests which engines `auto` stands for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent import stt, tts
from agent.speech.choice import Choice, choose
from agent.speech.stt import STTOptions
from agent.speech.tts import TTSOptions
from llm_router.errors import ConfigurationError


def ready(engine: str) -> str:
    return f"{engine}:/models/tiny"


def lacking(engine: str) -> str:
    raise ConfigurationError(f"no model for {engine}: `make setup` adds one")


LACKS = "no model for whisper: `make setup` adds one"


@pytest.mark.parametrize(
    ("asked", "model", "wants_neural", "is_named", "chosen"),
    [
        ("auto", ready, True, False, Choice("whisper")),
        ("auto", lacking, True, False, Choice("embedded", LACKS)),
        ("auto", lacking, True, True, Choice("whisper")),
        ("auto", ready, False, False, Choice("embedded")),
        ("auto", ready, False, True, Choice("embedded")),
        ("embedded", ready, True, False, Choice("embedded")),
        ("whisper", lacking, True, False, Choice("whisper")),
        ("openai", lacking, False, False, Choice("openai")),
        ("livekit_plugin:deepgram", ready, True, False, Choice("livekit_plugin:deepgram")),
    ],
)
def test_auto_is_the_neural_engine_where_it_can_work(
    asked: str, model: Callable[[str], str], wants_neural: bool, is_named: bool, chosen: Choice
) -> None:
    found = choose(asked, "whisper", model, wants_neural=wants_neural, is_named=is_named)
    assert found == chosen


def test_a_choice_says_what_is_missing() -> None:
    assert str(Choice("embedded", "no model")) == "embedded (no model)"
    assert str(Choice("piper")) == "piper"


def test_without_models_the_embedded_engines_take_their_place(tmp_path: Path) -> None:
    listening = stt.choose("auto", STTOptions(models_folder=tmp_path))
    speaking = tts.choose("auto", TTSOptions(models_folder=tmp_path))
    assert (listening.engine, speaking.engine) == ("embedded", "embedded")
    assert listening.missing
    assert speaking.missing


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("TTS_VOICE=amy: no such voice", "TTS_VOICE=amy: no such voice. And no language 'xx'"),
        ("", "no language 'xx'"),
    ],
)
def test_an_embedded_engine_that_fails_names_what_it_stands_in_for(missing: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as failure, Choice("embedded", missing).explained():
        raise ConfigurationError("no language 'xx'")
    assert str(failure.value) == said
