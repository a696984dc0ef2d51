"""Finds the speech models that run on this machine, by name or by path.

`default_folder` holds them: `whisper/<name>/` is a faster-whisper model, `piper/<name>.onnx` with
its `.onnx.json` a Piper voice. Set-up puts `DEFAULT_WHISPER` and `DEFAULT_VOICE` there
(`deploy/models.py`); any other that a person puts beside them is found alike. Nothing is
downloaded.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from llm_router.errors import ConfigurationError

DEFAULT_WHISPER = "tiny.en"
DEFAULT_VOICE = "en_US-joe-medium"
_ENGLISH_ONLY = ".en"
"""End of the names of whisper models that know only English, as OpenAI names them."""


def default_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Returns the folder of models in the user's cache, which may not exist.

    XDG_CACHE_HOME is ignored unless absolute, as its specification demands.
    """
    cache = Path(environ.get("XDG_CACHE_HOME", ""))
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "patchbay" / "models"


def find_whisper(model: str, language: str, folder: Path, others: Collection[str] = ()) -> Path:
    """Returns the folder of a faster-whisper model.

    `model` is its path, or its name in `folder`; empty: the default one if it knows the language,
    else the first that does; one that knows the `others` as well goes before it. Raises
    ConfigurationError if there is none, with what to do.
    """
    if "/" in model:
        named = Path(model).expanduser()
        if not _is_whisper(named):
            raise ConfigurationError(
                f"STT_MODEL={model}: there is no faster-whisper model (a folder with model.bin);"
                " name the folder of one, or leave STT_MODEL empty"
            )
        return _checked(named, language)
    whispers = folder / "whisper"
    names = [one.name for one in _entries(whispers) if _is_whisper(one)]
    if model:
        if model not in names:
            raise ConfigurationError(f"STT_MODEL={model}: {_missing(whispers, names)}")
        return _checked(whispers / model, language)
    if not names:
        raise ConfigurationError(f"no whisper model is set up in {whispers}: `make setup` adds one")
    fitting = [name for name in _default_first(names, DEFAULT_WHISPER) if _knows(name, language)]
    if not fitting:
        raise ConfigurationError(
            f"{names[0]} knows English alone: put a multilingual faster-whisper model into"
            f" {whispers}, as docs/speech.md shows"
        )
    knowing = [name for name in fitting if all(_knows(name, other) for other in others)]
    return whispers / [*knowing, *fitting][0]


def find_voice(voice: str, language: str, folder: Path) -> Path:
    """Returns the `.onnx` file of a Piper voice.

    `voice` is its path, or its name in `folder`; empty: the default one if it speaks the language,
    else the first that does. Raises ConfigurationError if there is none, with what to do.
    """
    if "/" in voice:
        named = Path(voice).expanduser()
        if not _is_voice(named):
            raise ConfigurationError(
                f"TTS_VOICE={voice}: there is no Piper voice (an .onnx with its .onnx.json);"
                " name the .onnx of one, or leave TTS_VOICE empty"
            )
        return named
    voices = folder / "piper"
    names = [one.stem for one in _entries(voices) if _is_voice(one)]
    if voice:
        if voice not in names:
            raise ConfigurationError(f"TTS_VOICE={voice}: {_missing(voices, names)}")
        return voices / f"{voice}.onnx"
    if not names:
        raise ConfigurationError(f"no neural voice is set up in {voices}: `make setup` adds one")
    ordered = _default_first(names, DEFAULT_VOICE)
    fitting = [name for name in ordered if language_family(name) == language_family(language)]
    if not fitting:
        raise ConfigurationError(
            f"no Piper voice speaks {language!r}: put one into {voices}, as docs/speech.md shows"
        )
    return voices / f"{fitting[0]}.onnx"


def _checked(whisper: Path, language: str) -> Path:
    if not _knows(whisper.name, language):
        raise ConfigurationError(
            f"STT_MODEL={whisper.name} knows English alone, and AGENT_LANGUAGE is {language!r};"
            " choose a multilingual model, such as small, or leave STT_MODEL empty"
        )
    return whisper


def _knows(whisper: str, language: str) -> bool:
    return language_family(language) == "en" or not whisper.endswith(_ENGLISH_ONLY)


def language_family(tag: str) -> str:
    """Returns the language of a tag (`pt-BR`) or of a voice's name (`pt_BR-faber-medium`)."""
    return tag.replace("_", "-").partition("-")[0].lower()


def _missing(folder: Path, names: Sequence[str]) -> str:
    has = ", ".join(names) or "nothing yet"
    return f"{folder} does not have it; it has {has}. The path of one is taken, too"


def _default_first(names: Sequence[str], default: str) -> list[str]:
    return sorted(names, key=lambda name: (name != default, name))


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _is_whisper(folder: Path) -> bool:
    return (folder / "model.bin").is_file()


def _is_voice(file: Path) -> bool:
    return file.suffix == ".onnx" and file.is_file() and Path(f"{file}.json").is_file()
