"""Parses the JSON formats of connections: the connections file, and OPENAI_COMPATIBLE_DATA.

Every mistake raises ConfigurationError, which names the source, the place and the remedy; nothing
is imported in part. A field that only another program knows is left out with a warning; one that
looks like a field of ours is a mistake. No message repeats a value, since it may be a key.
"""

import difflib
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from llm_router.catalog.servers import default_provider
from llm_router.connections.record import STORE_MANAGED_FIELDS, Connection, unquoted
from llm_router.errors import ConfigurationError

_ADAPTER = TypeAdapter(Connection)
_OWN_FIELDS = frozenset(field.name for field in fields(Connection)) - frozenset(
    STORE_MANAGED_FIELDS
)
_SWITCHES = ("enabled", "active")
_OTHER_NAMES = {"model": "model_name", "num_retries": "max_retries"}
"""Fields in other programs' files, and ours of the same meaning. `num_retries` is LiteLLM's."""
_OTHER_FIELDS = frozenset({*_OTHER_NAMES, "is_local", *_SWITCHES, "disabled"})
"""All fields in other programs' files; see `_to_own_fields`."""
_NEED_ADDRESS = frozenset({"openai_compatible", "ollama"})
_FROM_ENVIRONMENT = "env:"
_VARIABLE = re.compile(
    r"env:(.*)|(?:os\.environ/|\{env:|\$\{\{\s*(?:secrets|env)\.|\$\{?(?:env:)?)"
    r"([A-Z_][A-Z\d_]*)(?::?-[^{}]*)?\s*\}{0,2}",
    re.DOTALL,
)
"""A key that names its variable: in our way, LiteLLM's, opencode's, Continue's, an editor's,
LibreChat's or a shell's, which may have a default behind it."""
_STRING = r'"(?:[^"\\\n]|\\.)*"?'
_COMMENT = re.compile(rf"{_STRING}|//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_COMMA = re.compile(rf"{_STRING}|,(?=\s*[\]}}])")
"""Patterns of comments and trailing commas, which hand-written files contain.

Both match whole strings first, since a string may contain either. An unclosed string or comment
extends to the end of its line or file, so that the time to parse grows only linearly.
"""

_Row = Mapping[str, Any]
Warn = Callable[[str], None]
"""A function that takes one sentence about a field that was left out."""
warn_in_log: Warn = logging.getLogger(__name__).warning
MAX_SIZE = 2_000_000
"""Characters of a file."""
_MAX_ROWS = 2_000
"""Connections of a file; more are refused before the first of them is read."""
_MAX_FIELDS = 200
"""Fields of one object: each unknown one is compared with every known one."""
_SHOWN = 60
"""Length (characters) to which the name of an unknown field is cut in a message."""
_ALIKE = 0.8
_SLIPS = 2
"""Likeness (0 to 1), and most letters more or less, of a field that is taken for a misspelt one."""


def parse_connections(
    text: str, source: str, environ: Mapping[str, str], warn: Warn = warn_in_log
) -> tuple[Connection, ...]:
    """Parses the connections of a file: an object with `connections`, one connection, or an array.

    `source` names the file in errors. `api_key` may be "env:NAME" for a variable of `environ`.
    Raises ConfigurationError, which names the place in the file.
    """
    data = _parsed(text, source)
    if isinstance(data, dict) and "connections" in data:
        _check_fields(data, {"connections"}, source, warn)
        data = data["connections"]
        source = f"{source}, connections"
    rows = [data] if isinstance(data, dict) else data
    if not isinstance(rows, list):
        raise ConfigurationError(
            f'{source}: must be {{"connections": [...]}}, an array, or one connection object'
        )
    refuse_more_rows(len(rows), source)
    places = [f"{source}[{index}]" for index in range(len(rows))]
    found = [
        _connection(row, place, environ, warn) for row, place in zip(rows, places, strict=True)
    ]
    _refuse_duplicates("id", zip(places, (c.id or None for c in found), strict=True))
    _refuse_duplicates("name", zip(places, (c.name for c in found), strict=True))
    return tuple(found)


def parse_compatible_data(
    text: str, source: str, environ: Mapping[str, str], warn: Warn = warn_in_log
) -> tuple[Connection, ...]:
    """Parses `[{provider, baseUrl, apiKey, models: [{apiName, ...}]}]`, one connection per model.

    Accepts the text with the quotes that a `.env` file needs around it. `apiKeyEnvVar` names the
    variable of `environ` that holds the key. Raises ConfigurationError, which names the place in
    the text.
    """
    data = _parsed(_unescaped(unquoted(text)), source)
    if not isinstance(data, list):
        raise ConfigurationError(f"{source}: must be an array of providers")
    refuse_more_rows(len(data), source)
    found: list[tuple[str, Connection]] = []
    for index, row in enumerate(data):
        place = f"{source}[{index}]"
        _check_fields(row, {"provider", "models", "apiKey", "apiKeyEnvVar", "baseUrl"}, place, warn)
        variable = row.get("apiKeyEnvVar")
        key = row.get("apiKey") or (f"{_FROM_ENVIRONMENT}{variable}" if variable else None)
        models = row.get("models")
        if not isinstance(models, list) or not models:
            raise ConfigurationError(
                f'{place}, field "models": must be an array with a model in it'
            )
        if not row.get("baseUrl"):
            raise ConfigurationError(
                f'{place}, field "baseUrl": is missing, e.g. http://host:port/v1'
            )
        refuse_more_rows(len(data) + len(found) + len(models), place)
        for number, model in enumerate(models):
            at = f"{place}, models[{number}]"
            _check_fields(model, {"apiName", "uiName", "supportsTools"}, at, warn)
            shown = model.get("uiName") or model.get("apiName")
            own = {
                "name": f"{row.get('provider') or 'openai-compatible'} {shown}",
                "base_url": row.get("baseUrl"),
                "api_key": key,
                "model_name": model.get("apiName"),
                "supports_tools": model.get("supportsTools", True),
            }
            found.append((at, _connection(own, at, environ, warn)))
    _refuse_duplicates("name", ((place, c.name) for place, c in found))
    return tuple(connection for _, connection in found)


def _unescaped(text: str) -> str:
    """Returns JSON text without what was written around its quotes and line ends for a shell."""
    text = text.replace("\\\n", "\n")
    return text.replace('\\"', '"') if '{\\"' in text else text


def refuse_more_rows(count: int, source: str) -> None:
    """Raises ConfigurationError if a file names more connections than one may."""
    if count > _MAX_ROWS:
        raise ConfigurationError(
            f"{source}: names {count:,} connections; give at most {_MAX_ROWS:,} at once"
        )


def refuse_longer(text: str, source: str, longest: int = MAX_SIZE) -> None:
    """Raises ConfigurationError for a text whose parsing would take too long."""
    if len(text) > longest:
        raise ConfigurationError(
            f"{source}: has {len(text):,} characters; give at most {longest:,} at once"
        )


def _parsed(text: str, source: str) -> Any:
    refuse_longer(text, source)
    text = text.removeprefix("\ufeff")
    text = _COMMA.sub(_blanked, _COMMENT.sub(_blanked, text))
    try:
        return json.loads(
            text, parse_constant=_refuse_constant, object_pairs_hook=_without_duplicates
        )
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            f"{source}, line {error.lineno}, column {error.colno}: not JSON ({error.msg})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{source}: not JSON ({error})") from error


def _blanked(found: re.Match[str]) -> str:
    """Replaces all but strings with blanks, so that errors still name the right place."""
    text = found[0]
    return text if text.startswith('"') else re.sub(r"[^\n]", " ", text)


def _without_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        uses = Counter(name for name, _ in pairs)
        duplicate, _ = uses.most_common(1)[0]
        raise ValueError(f'"{duplicate[:_SHOWN]}" occurs twice in one object')
    return row


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _connection(row: Any, place: str, environ: Mapping[str, str], warn: Warn) -> Connection:
    row = _check_fields(row, _OWN_FIELDS | _OTHER_FIELDS, place, warn)
    own = _to_own_fields(row, place)
    key = own.get("api_key")
    if isinstance(key, str) and (found := _VARIABLE.fullmatch(key)):
        own["api_key"] = _from_environment(found[1] or found[2] or "", place, environ)
    try:
        # Validated as JSON, so that strict accepts an array for a tuple but not "30" for 30.
        connection = _ADAPTER.validate_json(json.dumps(own), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(map(str, first["loc"]))
        where = f'{place}, field "{field}"' if field else place
        raise ConfigurationError(f"{where}: {first['msg']}") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {error}") from None
    if connection.provider in _NEED_ADDRESS and not connection.base_url:
        raise ConfigurationError(f'{place}, field "base_url": is missing, e.g. http://host:port/v1')
    if "provider" in own:
        return connection
    return replace(connection, provider=default_provider(connection))


def _to_own_fields(row: _Row, place: str) -> dict[str, Any]:
    """Translates the fields of other programs' files to those of Connection."""
    # Hand-written files contain nulls for unknown values, and blanks around pasted ones.
    row = {n: v.strip() if isinstance(v, str) else v for n, v in row.items() if v is not None}
    own = {name: value for name, value in row.items() if name not in _OTHER_FIELDS}
    for other, name in _OTHER_NAMES.items():
        if other in row and name in row:
            raise ConfigurationError(f'{place}: "{other}" and "{name}" mean the same; give one')
        if other in row:
            own[name] = row[other]
    if not isinstance(row.get("id", ""), str):
        raise ConfigurationError(f'{place}, field "id": must be a string')
    if "name" not in row and "id" in row:
        own["name"] = row["id"]
    if "name" not in own:
        raise ConfigurationError(f'{place}, field "name": is missing; give each connection a name')
    if _flag(row, "is_local", place):
        own.setdefault("connection_type", "local")
    is_off = any(not _flag(row, name, place) for name in _SWITCHES if name in row)
    if is_off or _flag(row, "disabled", place):
        own.setdefault("is_active", False)
    return own


def _flag(row: _Row, name: str, place: str) -> bool:
    value = row.get(name, False)
    if not isinstance(value, bool):
        raise ConfigurationError(f'{place}, field "{name}": must be true or false')
    return value


def _from_environment(name: str, place: str, environ: Mapping[str, str]) -> str:
    if value := environ.get(name):
        return value
    raise ConfigurationError(
        f'{place}, field "api_key": the variable {name} is not set; set it, or drop the connection'
    )


def _check_fields(row: Any, known: Iterable[str], place: str, warn: Warn) -> _Row:
    """Returns the known fields. Refuses a misspelt one, and warns about any other."""
    if not isinstance(row, dict):
        raise ConfigurationError(f"{place}: must be an object")
    if len(row) > _MAX_FIELDS:
        raise ConfigurationError(f"{place}: has {len(row):,} fields; give at most {_MAX_FIELDS}")
    known = sorted(known)
    for name in row.keys() - set(known):
        shown = name[:_SHOWN]
        if name in STORE_MANAGED_FIELDS or not (close := _misspelt(shown, known)):
            warn(f"{place}: field {shown!r} is left out: it is none of a connection's")
        else:
            raise ConfigurationError(f'{place}: unknown field "{shown}"; did you mean "{close}"?')
    return {name: row[name] for name in row if name in known}


def _misspelt(name: str, known: Iterable[str]) -> str | None:
    """Returns the known field that `name` is a wrong spelling of, if any."""
    letters = _letters(name)
    for other in known:
        own = _letters(other)
        is_near = letters[:1] == own[0] and abs(len(letters) - len(own)) <= _SLIPS
        if is_near and difflib.SequenceMatcher(None, letters, own).ratio() >= _ALIKE:
            return other
    return None


def _letters(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def _refuse_duplicates(field: str, placed: Iterable[tuple[str, Any]]) -> None:
    seen: dict[Any, str] = {}
    for place, value in placed:
        if value is None:
            continue
        if value in seen:
            raise ConfigurationError(
                f'{place} has the same {field} "{value}" as {seen[value]}; give each its own'
            )
        seen[value] = place
