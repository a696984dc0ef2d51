"""Defines tools that a user declares without Python: HTTP requests, and servers that speak MCP."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from llm_router.connections.json_shape import is_within

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

_MAX_SCHEMA_VALUES = 1_000
_MAX_SCHEMA_LEVELS = 20
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]{0,8000}")
_OURS = frozenset(
    {
        "accept-encoding", "connection", "content-length", "expect", "host", "idempotency-key",
        "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""Headers that the request itself decides."""


def _readable(text: str) -> str:
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", text):
        raise ValueError("must not contain control characters")
    return text


def _web_address(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("is not a valid address") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must look like https://host/path")
    if parts.username or parts.password:
        raise ValueError("must hold no user name; put it into a header")
    if re.search(r"[\x00-\x20\x7f\\]", url):
        raise ValueError("must hold no blanks")
    if "{" in parts.netloc or "}" in parts.netloc:
        raise ValueError("may have placeholders in its path and query, not in its host")
    return url


def _headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OURS:
            raise ValueError(f"cannot set the header {name[:100]!r}")
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"has a value of {name} that no header can have")
    return headers


def _schema(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if not is_within(schema, values=_MAX_SCHEMA_VALUES, levels=_MAX_SCHEMA_LEVELS):
        raise ValueError(f"must have at most {_MAX_SCHEMA_VALUES:,} values")
    if schema.get("type", "object") != "object":
        raise ValueError('must describe an object: {"type": "object", "properties": {...}}')
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, Mapping) or not all(
        isinstance(value, Mapping) for value in properties.values()
    ):
        raise ValueError("properties must be an object of schemas, one for each parameter")
    if not isinstance(required, list | tuple) or not {*map(str, required)} <= {*properties}:
        raise ValueError("required must list names of properties")
    return schema


ToolName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
_Text = Annotated[str, AfterValidator(_readable)]
_Phrase = Annotated[_Text, Field(max_length=200)]
_Address = Annotated[str, Field(max_length=2_000), AfterValidator(_web_address)]
_Headers = Annotated[Mapping[str, str], Field(max_length=50, repr=False), AfterValidator(_headers)]
_Timeout = Annotated[float, Field(gt=0, le=60)]


class _Declared(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    name: ToolName
    url: _Address
    headers: _Headers = {}
    """Headers of each request. Their values may be secret: a store seals them, and they are never
    shown."""


class HttpTool(_Declared):
    """A tool that is one HTTP request. Immutable.

    Arguments that no placeholder of the address takes go into the query of a GET, and into the
    JSON body of any other request.
    """

    description: Annotated[_Text, Field(min_length=1, max_length=2_000)]
    """Says to the model what it does and when to use it."""
    parameters: Annotated[Mapping[str, Any], AfterValidator(_schema)] = {}
    """JSON schema of its arguments, an object."""
    method: Method = "GET"
    url: _Address
    """Its address; {name} in the path or the query stands for the argument of that name."""
    timeout: _Timeout = 8.0
    """Time limit (s) of the request, answer included."""
    says: _Phrase = ""
    """Phrase said while it runs, where it takes longer than FILLER_AFTER. Empty: a filler."""
    has_effect: Annotated[bool, Field(strict=True)] | None = None
    """Whether it changes something, so that it must never be run twice. Not set: any but a GET."""
    answer_characters: Annotated[int, Field(ge=1, le=50_000, strict=True)] = 2_000
    """Characters of its answer that go to the model."""

    @model_validator(mode="after")
    def _placeholders_are_parameters(self) -> Self:
        unknown = {*_PLACEHOLDER.findall(self.url)} - {*self.properties}
        if unknown:
            raise ValueError(f"url: no parameter is called {min(unknown)[:100]!r}")
        return self

    @property
    def properties(self) -> Mapping[str, Any]:
        """The schema of each parameter by its name."""
        found: Mapping[str, Any] = self.parameters.get("properties", {})
        return found

    @property
    def changes(self) -> bool:
        """Whether a second run would do something twice."""
        return self.method != "GET" if self.has_effect is None else self.has_effect

    def address(self, arguments: Mapping[str, Any]) -> str:
        """Returns the address with the arguments in place of the placeholders, percent-encoded.

        A missing argument is empty; one that would be another path (`..`) loses its dots.
        """

        def fill(match: re.Match[str]) -> str:
            value = plain(arguments.get(match[1], ""))
            return "" if value in {".", ".."} else quote(value, safe="")

        return _PLACEHOLDER.sub(fill, self.url)

    def others(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the arguments that the address does not hold."""
        held = {*_PLACEHOLDER.findall(self.url)}
        return {name: value for name, value in arguments.items() if name not in held}


class McpServer(_Declared):
    """A server of tools that speaks MCP over HTTP. Immutable."""

    url: _Address
    """Its address, such as https://host/mcp."""
    tools: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=128)], ...],
                     Field(min_length=1, max_length=50)]  # fmt: skip
    """Names of its tools that the model may call; no other is offered."""
    timeout: _Timeout = 8.0
    """Time limit (s) of connecting, and of each call of a tool."""
    says: _Phrase = ""
    """Phrase said while one of its tools runs. Empty: a filler."""
    answer_characters: Annotated[int, Field(ge=1, le=50_000, strict=True)] = 2_000
    """Characters of an answer that go to the model."""


def plain(value: Any) -> str:
    """Returns an argument as it stands in an address: no quotes, and true rather than True."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
