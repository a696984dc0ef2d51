"""Tests which speech model is found by a name, a path or a language."""

import re
from pathlib import Path

import pytest

from agent.speech.models import default_folder, find_voice, find_whisper
from deploy import paths
from llm_router.errors import ConfigurationError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with models of two languages, and files that are none."""
    for name in ("base.en", "small", "tiny.en"):
        (tmp_path / "whisper" / name).mkdir(parents=True)
        (tmp_path / "whisper" / name / "model.bin").touch()
    (tmp_path / "whisper" / "half").mkdir()
    (tmp_path / "piper").mkdir()
    for voice in ("de_DE-thorsten-medium", "en_GB-alan-low", "en_US-joe-medium"):
        (tmp_path / "piper" / f"{voice}.onnx").touch()
        (tmp_path / "piper" / f"{voice}.onnx.json").touch()
    (tmp_path / "piper" / "fr_FR-half-low.onnx").touch()
    return tmp_path


def test_models_are_where_set_up_puts_them() -> None:
    for environ in ({}, {"XDG_CACHE_HOME": "/var/cache/x"}, {"XDG_CACHE_HOME": "relative"}):
        assert default_folder(environ) == paths.cache_folder(environ) / "models"


@pytest.mark.parametrize(
    ("model", "language", "found"),
    [
        ("", "en", "tiny.en"),
        ("", "en-GB", "tiny.en"),
        ("", "de", "small"),
        ("base.en", "en", "base.en"),
        ("small", "pt-BR", "small"),
    ],
)
def test_a_whisper_model_is_found_by_its_name_or_by_the_language(
    model: str, language: str, found: str, folder: Path
) -> None:
    assert find_whisper(model, language, folder) == folder / "whisper" / found


@pytest.mark.parametrize(
    ("voice", "language", "found"),
    [
        ("", "en", "en_US-joe-medium"),
        ("", "de", "de_DE-thorsten-medium"),
        ("", "de-AT", "de_DE-thorsten-medium"),
        ("en_GB-alan-low", "en", "en_GB-alan-low"),
        ("en_GB-alan-low", "de", "en_GB-alan-low"),
    ],
)
def test_a_voice_is_found_by_its_name_or_by_the_language(
    voice: str, language: str, found: str, folder: Path
) -> None:
    assert find_voice(voice, language, folder) == folder / "piper" / f"{found}.onnx"


def test_a_model_may_be_anywhere(folder: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert find_whisper(str(folder / "whisper/small"), "de", nowhere) == folder / "whisper/small"
    voice = folder / "piper" / "en_GB-alan-low.onnx"
    assert find_voice(str(voice), "en", nowhere) == voice


@pytest.mark.parametrize(
    ("model", "language", "reason"),
    [
        ("smal", "en", "STT_MODEL=smal: .* it has base.en, small, tiny.en"),
        ("half", "en", "STT_MODEL=half: .* does not have it"),
        ("./nothing", "en", "STT_MODEL=./nothing: there is no faster-whisper model"),
        ("base.en", "de", "STT_MODEL=base.en knows English alone, .* 'de'"),
    ],
)
def test_a_whisper_model_that_cannot_be_used_is_named_with_the_setting(
    model: str, language: str, reason: str, folder: Path
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        find_whisper(model, language, folder)


@pytest.mark.parametrize(
    ("voice", "language", "reason"),
    [
        ("jo", "en", "TTS_VOICE=jo: .* it has de_DE-thorsten-medium, "),
        ("./none.onnx", "en", "TTS_VOICE=./none.onnx: there is no Piper voice"),
        ("", "fr", "no Piper voice speaks 'fr': put one into .*piper"),
    ],
)
def test_a_voice_that_cannot_be_used_is_named_with_the_setting(
    voice: str, language: str, reason: str, folder: Path
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        find_voice(voice, language, folder)


def test_a_model_of_english_alone_is_not_used_for_another_language(tmp_path: Path) -> None:
    (tmp_path / "whisper" / "tiny.en").mkdir(parents=True)
    (tmp_path / "whisper" / "tiny.en" / "model.bin").touch()
    reason = f"tiny.en knows English alone: put .* into {re.escape(str(tmp_path))}/whisper"
    with pytest.raises(ConfigurationError, match=reason):
        find_whisper("", "de", tmp_path)


def test_without_models_set_up_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no whisper model is set up in .*: `make setup`"):
        find_whisper("", "en", tmp_path)
    with pytest.raises(ConfigurationError, match=r"no neural voice is set up in .*: `make setup`"):
        find_voice("", "en", tmp_path)
