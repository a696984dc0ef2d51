"""Reads connections from every supported format, and writes them in the format of the file."""

import re
from collections.abc import Mapping
from dataclasses import replace
from io import StringIO
from typing import Any, Literal

from dotenv.parser import parse_stream

from llm_router.connections.record import SECRET_FIELDS, STORE_MANAGED_FIELDS, Connection
from llm_router.discovery.environment import read_environment
from llm_router.discovery.files import (
    Warn,
    parse_compatible_data,
    parse_connections,
    refuse_longer,
    warn_in_log,
)
from llm_router.errors import ConfigurationError

Format = Literal["connections", "openai_compatible", "env"]
"""`connections`: as in config/connections.example.json; `openai_compatible`: the JSON of
OPENAI_COMPATIBLE_DATA; `env`: lines of a .env file."""
_MAX_ENV_SIZE = 64_000
"""Characters of a .env file: where quotes do not match, parsing takes the square of them."""
_BEFORE_NAME = re.compile(
    r"^[ \t]*(?:-[ \t]+|(?:set|env)[ \t]+|\$env:)(?=[a-z_]\w*[ \t]*=)",
    re.IGNORECASE | re.MULTILINE | re.ASCII,
)
"""Words before a variable in a Dockerfile, a compose file, and shells of Windows."""
_LONGEST_NAME = 200
_SHOWN_LINES = 5
_DEFAULTS = Connection(name="defaults")


def parse(
    text: str,
    format_: Format,
    source: str,
    environ: Mapping[str, str],
    warn: Warn = warn_in_log,
) -> tuple[Connection, ...]:
    """Parses all connections of a text. `environ` resolves "env:NAME"; `source` is for errors.

    `warn` takes a sentence about each field that is left out because only another program knows
    it. Raises ConfigurationError, which names the place and the remedy.
    """
    match format_:
        case "connections":
            return parse_connections(text, source, environ, warn)
        case "openai_compatible":
            return parse_compatible_data(text, source, environ, warn)
    refuse_longer(text, source, _MAX_ENV_SIZE)
    named = read_environment(_variables(text, source, warn))
    if not named:
        raise ConfigurationError(
            f"{source}: names no server; set OLLAMA_BASE_URL, VLLM_BASE_URL, OPENAI_BASE_URL,"
            " OPENAI_API_KEY or OPENAI_COMPATIBLE_DATA in it"
        )
    return tuple(
        replace(
            n.connection, model_name=n.connection.model_name or next(iter(n.preferred_models), "")
        )
        for n in named
    )


def _variables(text: str, source: str, warn: Warn) -> dict[str, str]:
    """Returns the variables of a .env file; `warn` gets the lines that are none."""
    found: dict[str, str] = {}
    wrong: list[int] = []
    for line in parse_stream(StringIO(_BEFORE_NAME.sub("", text))):
        if line.error or len(line.key or "") > _LONGEST_NAME:
            wrong.append(line.original.line)
        elif line.key and line.value:
            found[line.key] = line.value
    if wrong:
        shown = ", ".join(map(str, wrong[:_SHOWN_LINES]))
        more = "" if len(wrong) <= _SHOWN_LINES else f" and {len(wrong) - _SHOWN_LINES:,} more"
        warn(f"{source}: line {shown}{more} is left out: it is no NAME=value")
    return found


def to_row(connection: Connection, *, secrets: bool = False) -> dict[str, Any]:
    """Returns the fields that differ from their defaults, as `parse_connections` reads them.

    With `secrets` also the key and the headers.
    """
    left_out = {*STORE_MANAGED_FIELDS, *(() if secrets else SECRET_FIELDS)}
    values = {name: getattr(connection, name) for name in Connection.__dataclass_fields__}
    return {
        name: value
        for name, value in values.items()
        if name not in left_out and value != getattr(_DEFAULTS, name)
    }
