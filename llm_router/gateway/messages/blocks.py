"""Reads the blocks of a conversation as the messages of chat completions. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llm_router.gateway.completions.fields import (
    as_object,
    function_call,
    image_at,
    object_at,
    text_at,
)
from llm_router.gateway.completions.problems import invalid
from llm_router.gateway.completions.turns import Part, Turns, image_part, text_part
from llm_router.types import Message

_ROLES = frozenset({"user", "assistant", "system"})
_THOUGHTS = frozenset({"thinking", "redacted_thinking"})


def read_conversation(
    given: Sequence[Any], system: str | Sequence[Any] | None
) -> Sequence[Message]:
    """Returns the messages. Raises ChatProblem (400), naming the place of the first fault.

    The model's own earlier reasoning is left out: only the vendor that gave it could read it.
    """
    turns = Turns()
    if system:
        turns.say("system", _parts(system, "system"))
    for number, value in enumerate(given):
        place = f"messages.{number}"
        message = as_object(value, place)
        role = message.get("role")
        if not isinstance(role, str) or role not in _ROLES:
            raise invalid(f"{place}.role", "must be user, assistant or system")
        _add(turns, role, message.get("content"), f"{place}.content")
    return turns.messages


def _add(turns: Turns, role: str, content: Any, place: str) -> None:
    """Adds a message: results of tools first, then words, then calls of tools."""
    if isinstance(content, str):
        turns.say(role, content)
        return
    parts: list[Part] = []
    calls: list[Mapping[str, Any]] = []
    for where, block in _blocks(content, place):
        match text_at(block, "type", where):
            case "tool_result" if role == "user":
                call_id = text_at(block, "tool_use_id", where)
                turns.result(call_id, _parts(block.get("content", ""), f"{where}.content"))
            case "tool_use" if role == "assistant":
                calls.append(_call(block, where))
            case kind if kind in _THOUGHTS and role == "assistant":
                """Left out."""
            case _:
                parts.append(_part(block, where))
    if parts:
        turns.say(role, parts)
    for call in calls:
        turns.call(call)


def _parts(content: Any, place: str) -> str | Sequence[Part]:
    if isinstance(content, str):
        return content
    return [_part(block, where) for where, block in _blocks(content, place)]


def _blocks(content: Any, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields each block with its place."""
    if not isinstance(content, list):
        raise invalid(place, "must be a text or a list of blocks")
    for number, block in enumerate(content):
        where = f"{place}.{number}"
        yield where, as_object(block, where)


def _part(block: Mapping[str, Any], place: str) -> Part:
    match text_at(block, "type", place):
        case "text":
            return text_part(text_at(block, "text", place, may_be_empty=True))
        case "image":
            return image_part(_image(object_at(block, "source", place), f"{place}.source"))
    raise invalid(f"{place}.type", "blocks of this type are not served")


def _image(source: Mapping[str, Any], place: str) -> str:
    match source.get("type"):
        case "url":
            return image_at(source, "url", place)
        case "base64":
            kind = text_at(source, "media_type", place)
            if not kind.startswith("image/"):
                raise invalid(f"{place}.media_type", "must be that of an image")
            return f"data:{kind};base64,{text_at(source, 'data', place)}"
    raise invalid(f"{place}.type", "must be base64 or url")


def _call(block: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    call_id, name = text_at(block, "id", place), text_at(block, "name", place)
    arguments = json.dumps(object_at(block, "input", place), ensure_ascii=False)
    return function_call(call_id, name, arguments)
