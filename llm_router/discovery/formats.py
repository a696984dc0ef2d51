"""Connections as text: every format that is taken in, and the one that is given out."""

from collections.abc import Mapping
from dataclasses import replace
from io import StringIO
from typing import Any, Literal

from dotenv import dotenv_values

from llm_router.connections.record import SECRET_FIELDS, STORE_MANAGED_FIELDS, Connection
from llm_router.discovery.environment import read_environment
from llm_router.discovery.files import parse_compatible_data, parse_connections
from llm_router.errors import ConfigurationError

Format = Literal["connections", "openai_compatible", "env"]
"""`connections`: llm_connections.json; `openai_compatible`: the JSON of OPENAI_COMPATIBLE_DATA;
`env`: lines of a .env file."""
_PLAIN = Connection(name="plain")


def parse(
    text: str, format_: Format, source: str, environ: Mapping[str, str]
) -> tuple[Connection, ...]:
    """All connections of a text. `source` names it in errors; "env:NAME" is taken from `environ`.

    Raises ConfigurationError, which names the place and the remedy.
    """
    match format_:
        case "connections":
            return parse_connections(text, source, environ)
        case "openai_compatible":
            return parse_compatible_data(text, source, environ)
    given = dotenv_values(stream=StringIO(text), interpolate=False)
    named = read_environment({name: value for name, value in given.items() if value})
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


def to_row(connection: Connection, *, secrets: bool = False) -> dict[str, Any]:
    """The connection as `from_json` reads it: what differs from a plain one; the rest goes without
    saying.
    """
    kept_back = {*STORE_MANAGED_FIELDS, *(() if secrets else SECRET_FIELDS)}
    shown = {name: getattr(connection, name) for name in Connection.__dataclass_fields__}
    return {
        name: value
        for name, value in shown.items()
        if name not in kept_back and value != getattr(_PLAIN, name)
    }
