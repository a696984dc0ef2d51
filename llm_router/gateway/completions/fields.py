"""Checks single fields of messages and tools, which every form of the API below /v1 has. Pure.

Each function raises ChatProblem (400), naming the place of the fault, never the value.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from llm_router.gateway.completions.problems import invalid

_LONGEST_ADDRESS = 8_000
"""Characters of an image's address; one that holds the image itself (`data:`) may be longer."""


def as_object(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise invalid(place, "must be an object")
    return value


def object_at(holder: Mapping[str, Any], name: str, place: str) -> Mapping[str, Any]:
    return as_object(holder.get(name), f"{place}.{name}")


def text_at(holder: Mapping[str, Any], name: str, place: str, *, may_be_empty: bool = False) -> str:
    value = holder.get(name)
    if not isinstance(value, str) or not (value or may_be_empty):
        raise invalid(f"{place}.{name}", "must be a text")
    return value


def optional_text_at(holder: Mapping[str, Any], name: str, place: str) -> str | None:
    return None if holder.get(name) is None else text_at(holder, name, place, may_be_empty=True)


def image_at(holder: Mapping[str, Any], name: str, place: str) -> str:
    """Returns the address of an image, which is its content where it begins with `data:`."""
    url = text_at(holder, name, place)
    if not url.startswith(("https://", "http://", "data:image/")):
        raise invalid(f"{place}.{name}", "must begin with https:// or data:image/")
    if len(url) > _LONGEST_ADDRESS and not url.startswith("data:"):
        raise invalid(f"{place}.{name}", "is too long")
    return url


def check_function(function: Mapping[str, Any], place: str, schema: str = "parameters") -> None:
    """Checks a function that may be called; `schema` is the field that holds its JSON schema.

    The schema is left to the servers: each accepts its own part of JSON Schema.
    """
    text_at(function, "name", place)
    optional_text_at(function, "description", place)
    if not isinstance(function.get(schema) or {}, Mapping):
        raise invalid(f"{place}.{schema}", "must be a JSON schema")


def require_offered(name: str, tools: Iterable[Mapping[str, Any]], place: str) -> None:
    """Checks that a function which must be called is one of the tools: servers differ in what they
    make of another, from a refusal to a call that no client understands.
    """
    if all(tool["function"]["name"] != name for tool in tools):
        raise invalid(place, "names a function that is not in tools")


def function_call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """Returns a tool call in the form of chat completions; no arguments are an empty object."""
    function = {"name": name, "arguments": arguments or "{}"}
    return {"id": call_id, "type": "function", "function": function}
