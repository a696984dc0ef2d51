"""Reads the items of a request's `input` as the messages of a conversation. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from llm_router.gateway.completions.fields import (
    as_object,
    function_call,
    image_at,
    optional_text_at,
    text_at,
)
from llm_router.gateway.completions.problems import invalid
from llm_router.gateway.completions.turns import Part, Turns, image_part, text_part
from llm_router.types import Message

_ROLES = frozenset({"system", "developer", "user", "assistant"})
_TEXTS = frozenset({"input_text", "output_text", "text"})


def read_input(given: str | Sequence[Any], instructions: str | None) -> Sequence[Message]:
    """Returns the messages. Raises ChatProblem (400), naming the place of the first fault.

    The model's own earlier reasoning is left out: only the vendor that gave it could read it.
    """
    turns = Turns()
    if instructions:
        turns.say("system", instructions)
    if isinstance(given, str):
        turns.say("user", given)
    else:
        for number, item in enumerate(given):
            place = f"input.{number}"
            _add(turns, as_object(item, place), place)
    if not any(message["role"] != "system" for message in turns.messages):
        raise invalid("input", "must hold a message")
    return turns.messages


def _add(turns: Turns, item: Mapping[str, Any], place: str) -> None:
    match item.get("type") or "message":
        case "message":
            _add_message(turns, item, place)
        case "function_call":
            call_id, name = text_at(item, "call_id", place), text_at(item, "name", place)
            arguments = text_at(item, "arguments", place, may_be_empty=True)
            turns.call(function_call(call_id, name, arguments))
        case "function_call_output":
            call_id = text_at(item, "call_id", place)
            turns.result(call_id, _content(item.get("output"), f"{place}.output"))
        case "reasoning":
            """Left out."""
        case "item_reference":
            raise invalid(place, "responses are not stored here; send the item itself")
        case _:
            raise invalid(f"{place}.type", "items of this type are not served")


def _add_message(turns: Turns, item: Mapping[str, Any], place: str) -> None:
    role = item.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise invalid(f"{place}.role", f"must be one of {', '.join(sorted(_ROLES))}")
    turns.say(role, _content(item.get("content"), f"{place}.content"))


def _content(content: Any, place: str) -> str | list[Part]:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise invalid(place, "must be a text or a list of parts")
    return [
        _part(as_object(part, f"{place}.{n}"), f"{place}.{n}") for n, part in enumerate(content)
    ]


def _part(part: Mapping[str, Any], place: str) -> Part:
    kind = text_at(part, "type", place)
    if kind in _TEXTS:
        return text_part(text_at(part, "text", place, may_be_empty=True))
    if kind == "refusal":
        return text_part(text_at(part, "refusal", place, may_be_empty=True))
    if kind == "input_image" and part.get("image_url") is not None:
        detail = optional_text_at(part, "detail", place)
        return image_part(image_at(part, "image_url", place), detail)
    raise invalid(
        f"{place}.type", "must be input_text, or input_image with image_url; files are not served"
    )
