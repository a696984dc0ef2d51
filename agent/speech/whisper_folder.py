"""Checks a folder with a whisper model before anything is loaded from it."""

import json
from pathlib import Path

from agent.speech.models import language_family
from llm_router.errors import ConfigurationError

_MULTILINGUAL = 51_865
"""Entries in the vocabulary from which a whisper model knows more than English."""
_OTHER_CODES = {"nb": "no", "jv": "jw", "iw": "he", "in": "id", "fil": "tl", "cmn": "zh"}
"""Codes of languages that whisper calls by another."""


def check_whisper(folder: Path, language: str) -> str:
    """Returns whisper's own code of the language, such as `en` for `en-GB`.

    Raises ConfigurationError if a file is missing from the folder, or if the model does not know
    the language.
    """
    missing = [name for name in ("model.bin", "tokenizer.json") if not (folder / name).is_file()]
    if missing:
        raise ConfigurationError(
            f"whisper model {folder} has no {' and no '.join(missing)}: give the folder of a"
            " faster-whisper model, with all of its files"
        )
    family = language_family(language)
    code = _OTHER_CODES.get(family, family)
    if code == "en":
        return code
    try:
        tokenizer = (folder / "tokenizer.json").read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"whisper model {folder}: its tokenizer.json is damaged"
        ) from error
    if _vocabulary_size(folder) < _MULTILINGUAL:
        raise ConfigurationError(
            f"whisper model {folder} knows English alone, not {language!r}: choose a multilingual"
            " one, such as base or small, with STT_MODEL"
        )
    if f'"<|{code}|>"' not in tokenizer:
        raise ConfigurationError(
            f"whisper model {folder} does not know the language {language!r}: set AGENT_LANGUAGE"
            " to one that it knows, or choose another STT_ENGINE"
        )
    return code


def _vocabulary_size(folder: Path) -> int:
    """Returns the entries of CTranslate2's vocabulary, or 0 without one.

    The tokenizer is no help: those of English models list the other languages, too.
    """
    listed = folder / "vocabulary.json"
    plain = folder / "vocabulary.txt"
    try:
        if listed.is_file():
            return len(json.loads(listed.read_text()))
        return len(plain.read_text().splitlines())
    except (OSError, ValueError):
        return 0
