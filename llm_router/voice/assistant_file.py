"""Reads and writes the file of assistants, for those who want no database. No I/O.

It is TOML: a table for each assistant, named like it, with the fields of the record.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from llm_router.errors import ConfigurationError
from llm_router.voice.assistant import AssistantRecord, parse_assistant
from llm_router.voice.assistant_secrets import plain, with_variables

MAX_SIZE = 5_000_000
"""Characters of a file that is read."""


def read_assistants(
    text: str, where: str, environ: Mapping[str, str]
) -> Mapping[str, AssistantRecord]:
    """Returns the assistants of a file by name. Headers `env:NAME` take that variable's value.

    Raises ConfigurationError, which names the file, `where`, and the place.
    """
    if len(text) > MAX_SIZE:
        raise ConfigurationError(f"{where}: is too long; it may have {MAX_SIZE:,} characters")
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{where}: is not valid TOML: {error}") from None
    found = {}
    for name, values in tables.items():
        if not isinstance(values, dict):
            raise ConfigurationError(
                f"{where}: {name[:64]!r} is outside of a table; begin an assistant with a line"
                " such as [shop]"
            )
        try:
            record = parse_assistant({**values, "name": name})
            found[name] = with_variables(record, environ)
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {error}") from None
    return found


def read_file(file: Path, environ: Mapping[str, str]) -> Mapping[str, AssistantRecord]:
    """Reads the file of assistants; without one there are none. Raises ConfigurationError."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: cannot be read ({error}); correct the file") from error
    return read_assistants(text, str(file), environ)


def write_assistants(records: Iterable[AssistantRecord]) -> str:
    """Returns a file of these assistants, whose headers should have masks."""
    tables = []
    for record in records:
        values = {name: value for name, value in plain(record).items() if value is not None}
        del values["name"]
        lines = [f"{name} = {_toml(value)}" for name, value in values.items()]
        tables.append("\n".join([f"[{record.name}]", *lines]) + "\n")
    return "\n".join(tables)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(
            f"{_text(name)} = {_toml(v)}" for name, v in value.items() if v is not None
        )
        return f"{{ {inner} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        return _text(value)
    return json.dumps(value)  # true, false and numbers are written alike


def _text(text: str) -> str:
    """Returns a text as TOML's basic string, whose escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
