"""Reads the files of the agent's words: its system prompt, and the phrases it says on its own."""

import tomllib
from pathlib import Path
from typing import Any

from llm_router.errors import ConfigurationError
from llm_router.routing.phrases import Phrases


def load_phrases(file: Path) -> Phrases:
    """Reads the phrases of every language in a TOML file.

    Raises ConfigurationError, naming the file and the place in it, for a file that cannot be used.
    """
    try:
        languages = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"PHRASES_FILE: there is no {file}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"PHRASES_FILE: {file}: {error}") from None
    return Phrases({name: _flatten(file, name, table) for name, table in languages.items()})


def load_prompt(file: Path) -> str:
    """Reads the system prompt. Raises ConfigurationError for a file that cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(f"ASSISTANT_PROMPT_FILE: there is no {file}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"ASSISTANT_PROMPT_FILE: {file}: {error}") from None


def _flatten(file: Path, place: str, table: Any) -> dict[str, list[str]]:
    """Turns nested tables into one, whose keys are joined by dots: `filler.late`."""
    flat: dict[str, list[str]] = {}
    if not isinstance(table, dict):
        raise ConfigurationError(f"PHRASES_FILE: {file}: {place} should be a table of phrases")
    for occasion, value in table.items():
        if isinstance(value, dict):
            inner = _flatten(file, f"{place}.{occasion}", value)
            flat |= {f"{occasion}.{name}": texts for name, texts in inner.items()}
        elif isinstance(value, list) and value and all(isinstance(text, str) for text in value):
            flat[occasion] = value
        else:
            raise ConfigurationError(
                f"PHRASES_FILE: {file}: {place}.{occasion} should be a list of texts"
            )
    return flat
