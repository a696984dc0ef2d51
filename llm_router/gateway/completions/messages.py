"""Checks the messages and the tools of a request, whose parts the providers rely on. Pure.

Only the fields that the wire defines are taken: a message may hold nothing that a provider would
take for its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llm_router.gateway.completions.problems import invalid

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_LONGEST_ADDRESS = 8_000
"""Characters of an image's address; one that holds the image itself (`data:`) may be longer."""


def clean_messages(given: Sequence[Any]) -> list[Mapping[str, Any]]:
    """Returns the messages. Raises ChatProblem (400), naming the place of the first fault."""
    return [_message(message, f"messages.{number}") for number, message in enumerate(given)]


def clean_tools(given: Iterable[Any]) -> list[Mapping[str, Any]]:
    """Returns the tools. Raises ChatProblem (400), naming the place of the first fault.

    A tool's schema is left to the servers: each accepts its own part of JSON Schema.
    """
    tools: list[Mapping[str, Any]] = []
    for number, tool in enumerate(given):
        place = f"tools.{number}"
        if not isinstance(tool, Mapping) or tool.get("type", "function") != "function":
            raise invalid(place, "must be a tool of the type function")
        function = _object(tool, "function", place)
        _text(function, "name", f"{place}.function")
        _optional_text(function, "description", f"{place}.function")
        if not isinstance(function.get("parameters") or {}, Mapping):
            raise invalid(f"{place}.function.parameters", "must be a JSON schema")
        tools.append({"type": "function", "function": dict(function)})
    return tools


def _message(message: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(message, Mapping):
        raise invalid(place, "must be an object")
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise invalid(f"{place}.role", f"must be one of {', '.join(sorted(_ROLES))}")
    clean: dict[str, Any] = {"role": role, "content": _content(message.get("content"), place)}
    if name := _optional_text(message, "name", place):
        clean["name"] = name
    if role == "tool":
        clean["tool_call_id"] = _text(message, "tool_call_id", place)
    if role == "assistant" and (calls := message.get("tool_calls")):
        if not isinstance(calls, list):
            raise invalid(f"{place}.tool_calls", "must be a list")
        clean["tool_calls"] = [
            _call(call, f"{place}.tool_calls.{number}") for number, call in enumerate(calls)
        ]
    elif clean["content"] is None and role != "assistant":
        raise invalid(f"{place}.content", "is missing")
    return clean


def _content(content: Any, place: str) -> Any:
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise invalid(f"{place}.content", "must be a text or a list of parts")
    return [_part(part, f"{place}.content.{number}") for number, part in enumerate(content)]


def _part(part: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(part, Mapping):
        raise invalid(place, "must be an object")
    match _text(part, "type", place):
        case "text":
            _text(part, "text", place, may_be_empty=True)
        case "refusal":
            return {"type": "text", "text": _text(part, "refusal", place, may_be_empty=True)}
        case "image_url":
            url = _text(_object(part, "image_url", place), "url", f"{place}.image_url")
            if not url.startswith(("https://", "http://", "data:image/")):
                raise invalid(f"{place}.image_url.url", "must begin with https:// or data:image/")
            if len(url) > _LONGEST_ADDRESS and not url.startswith("data:"):
                raise invalid(f"{place}.image_url.url", "is too long")
        case _:
            _optional_text(part, "text", place)
    return part


def _call(call: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(call, Mapping):
        raise invalid(place, "must be an object")
    function = _object(call, "function", place)
    return {
        "id": _text(call, "id", place),
        "type": "function",
        "function": {
            "name": _text(function, "name", f"{place}.function"),
            "arguments": _optional_text(function, "arguments", f"{place}.function") or "{}",
        },
    }


def _object(holder: Mapping[str, Any], name: str, place: str) -> Mapping[str, Any]:
    value = holder.get(name)
    if not isinstance(value, Mapping):
        raise invalid(f"{place}.{name}", "must be an object")
    return value


def _text(holder: Mapping[str, Any], name: str, place: str, *, may_be_empty: bool = False) -> str:
    value = holder.get(name)
    if not isinstance(value, str) or not (value or may_be_empty):
        raise invalid(f"{place}.{name}", "must be a text")
    return value


def _optional_text(holder: Mapping[str, Any], name: str, place: str) -> str | None:
    return None if holder.get(name) is None else _text(holder, name, place, may_be_empty=True)
