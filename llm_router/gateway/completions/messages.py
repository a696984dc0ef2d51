"""Checks the messages and the tools of a request, whose parts the providers rely on. Pure.

Only the fields that the wire defines are taken: a message may hold nothing that a provider would
take for its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llm_router.gateway.completions.fields import (
    as_object,
    check_function,
    function_call,
    image_at,
    object_at,
    optional_text_at,
    text_at,
)
from llm_router.gateway.completions.problems import invalid

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


def clean_messages(given: Sequence[Any]) -> list[Mapping[str, Any]]:
    """Returns the messages. Raises ChatProblem (400), naming the place of the first fault."""
    return [_message(message, f"messages.{number}") for number, message in enumerate(given)]


def clean_tools(given: Iterable[Any]) -> list[Mapping[str, Any]]:
    """Returns the tools. Raises ChatProblem (400), naming the place of the first fault."""
    tools: list[Mapping[str, Any]] = []
    for number, tool in enumerate(given):
        place = f"tools.{number}"
        if not isinstance(tool, Mapping) or tool.get("type", "function") != "function":
            raise invalid(place, "must be a tool of the type function")
        function = object_at(tool, "function", place)
        check_function(function, f"{place}.function")
        tools.append({"type": "function", "function": dict(function)})
    return tools


def _message(value: Any, place: str) -> Mapping[str, Any]:
    message = as_object(value, place)
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise invalid(f"{place}.role", f"must be one of {', '.join(sorted(_ROLES))}")
    clean: dict[str, Any] = {"role": role, "content": _content(message.get("content"), place)}
    if name := optional_text_at(message, "name", place):
        clean["name"] = name
    if role == "tool":
        clean["tool_call_id"] = text_at(message, "tool_call_id", place)
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


def _part(value: Any, place: str) -> Mapping[str, Any]:
    part = as_object(value, place)
    match text_at(part, "type", place):
        case "text":
            text_at(part, "text", place, may_be_empty=True)
        case "refusal":
            return {"type": "text", "text": text_at(part, "refusal", place, may_be_empty=True)}
        case "image_url":
            image_at(object_at(part, "image_url", place), "url", f"{place}.image_url")
        case _:
            optional_text_at(part, "text", place)
    return part


def _call(value: Any, place: str) -> Mapping[str, Any]:
    call = as_object(value, place)
    function = object_at(call, "function", place)
    within = f"{place}.function"
    return function_call(
        text_at(call, "id", place),
        text_at(function, "name", within),
        optional_text_at(function, "arguments", within) or "",
    )
