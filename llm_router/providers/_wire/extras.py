"""Carries the fields of tool calls and messages that their vendor, and no other, wants back.

Gemini 3 signs its calls (`extra_content`) and refuses a history without the signature. DeepSeek,
Kimi and GLM, while they reason, want the `reasoning_content` of a message that calls tools.
OpenRouter passes on signed `reasoning_details`, LiteLLM `provider_specific_fields`. The router
reads none of it: it keeps the fields with the call or the chunk (`extras`), and returns them to
models of the same family only.

Extras are `{"origin": family, "call": fields, "message": fields}`, and JSON, so that a history can
be stored. `call` belongs into the tool call, `message` into the assistant's message around it.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeGuard, cast
from urllib.parse import urlsplit

from llm_router.providers._wire.characters import mend
from llm_router.types import Extras, Message, ToolCall

_LIMIT = 1 << 16
"""Most bytes of extras that one reply may have: they travel with the history from then on."""

RETURNED = frozenset(
    {
        *("extra_content", "reasoning_content", "reasoning", "reasoning_details"),
        *("provider_specific_fields", "thinking_blocks", "thought_signature"),
    }
)
"""Fields of a message that some vendor wants back."""
_RETURNED_WITH_WORDS = frozenset({"extra_content"})
"""Of these, the ones that are wanted with words too; the others only beside calls."""
_OF_A_FUNCTION = frozenset(
    {"name", "arguments", "args", "params", "description", "parameters", "strict"}
)
_OF_A_CALL = frozenset({"index", "id", "type", "function"}) | _OF_A_FUNCTION
_GROWING = frozenset({"text", "summary", "thinking", "data"})
"""Texts of a reasoning detail that a stream sends in pieces."""

_FAMILIES = re.compile(
    r"gemini|claude|deepseek|kimi|glm|minimax|qwen|qwq|grok|mistral|magistral|gpt|nemotron"
)
_VENDORS = {"google": "gemini", "xai": "grok"}
"""The vendors in `extra_content`, each with its family. They are also keys of the `extra` of
LiveKit's messages and calls, from where its own plugins read them."""
_IN_LIVEKIT = "patchbay_extras"
"""Key of all other extras in the `extra` of LiveKit's calls."""


def origin_of(model: str, base_url: str = "") -> str:
    """Returns the family of a model; where its name says none, the model and its server."""
    if found := _FAMILIES.search(model.lower()):
        return found[0]
    return f"{urlsplit(base_url).netloc.rpartition('@')[2]} {model}"


class ExtrasCollector:
    """Collects the extras of one reply from its pieces."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._message: dict[str, Any] = {}
        self._room = _LIMIT

    @property
    def has_any(self) -> bool:
        return self._room < _LIMIT

    def note(self, delta: Mapping[str, Any]) -> None:
        """Adds the fields of `RETURNED` in a piece of the message."""
        for name in RETURNED & delta.keys():
            if value := delta[name]:
                self._room -= len(_json(value))
                if self._room < 0:  # half a text is of use, half of anything signed is not
                    texts = {n: v for n, v in self._message.items() if isinstance(v, str)}
                    self._message = texts
                    return
                self._message[name] = _joined(self._message.get(name), value)

    def of_words(self) -> Extras | None:
        """Returns the extras of a reply that calls no tool."""
        return self._extras(
            {}, {n: v for n, v in self._message.items() if n in _RETURNED_WITH_WORDS}
        )

    def with_calls(self, calls: Iterable[ToolCall]) -> tuple[ToolCall, ...]:
        """Returns the calls with their extras; the first carries those of the message."""
        message = self._message
        whole = []
        for call in calls:
            extras = self._extras((call.extras or {}).get("call", {}), message)
            whole.append(replace(call, extras=extras) if extras or call.extras else call)
            message = {}
        return tuple(whole)

    def _extras(self, call: Mapping[str, Any], message: Mapping[str, Any]) -> Extras | None:
        if not (call or message) or len(_json(call)) > _LIMIT:
            return None
        text = _json({"origin": self._origin, "call": call, "message": message})
        return cast("Extras", json.loads(mend(text))) if text else None


def _json(value: Any) -> str:
    """Returns the value as JSON; empty if it is nested too deep."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return ""


def call_fields(piece: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a piece of a tool call that only its vendor understands."""
    fields = {name: piece[name] for name in piece.keys() - _OF_A_CALL if piece[name]}
    function = piece.get("function")
    if _is_map(function) and (within := function.keys() - _OF_A_FUNCTION):
        fields["function"] = {name: function[name] for name in within}
    return fields


def extras_of_call(call: Mapping[str, Any], origin: str) -> Mapping[str, Any]:
    """Returns the fields to send with a call of the history to a model of the family `origin`."""
    extras = call.get("extras")
    return _own(extras, "call", origin) if _is_map(extras) else _of_vendor(call, origin)


def extras_of_message(message: Message, origin: str) -> Mapping[str, Any]:
    """Returns the fields to send with a message of the history to a model of that family."""
    calls = [call.get("extras") for call in message.get("tool_calls") or ()]
    for extras in [*calls, message.get("extras")]:
        if _is_map(extras) and (fields := _own(extras, "message", origin)):
            return fields
    return _of_vendor(message, origin)


def to_livekit(extras: Extras | None) -> dict[str, Any]:
    """Returns the `extra` of a LiveKit call or message that holds these extras."""
    if extras is None:
        return {}
    call, message = dict(extras.get("call") or {}), dict(extras.get("message") or {})
    content = (call or message).get("extra_content")
    native = {n: v for n, v in content.items() if n in _VENDORS} if _is_map(content) else {}
    is_all = native == content and len(call) + len(message) == 1
    return native if is_all else {**native, _IN_LIVEKIT: dict(extras)}


def from_livekit(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the fields of a message's tool call that hold what is in a LiveKit call's `extra`."""
    if _is_map(extras := extra.get(_IN_LIVEKIT)):
        return {"extras": extras}
    native = {name: extra[name] for name in _VENDORS if name in extra}
    return {"extra_content": native} if native else {}


def _own(extras: Extras, part: str, origin: str) -> Mapping[str, Any]:
    fields = extras.get(part)
    return fields if _is_map(fields) and extras.get("origin") == origin else {}


def _of_vendor(item: Mapping[str, Any], origin: str) -> Mapping[str, Any]:
    content = item.get("extra_content")
    if not _is_map(content):
        return {}
    own = {name: value for name, value in content.items() if _VENDORS.get(name) == origin}
    return {"extra_content": own} if own else {}


def _is_map(value: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


def _joined(before: Any, piece: Any) -> Any:
    """Returns a field as the pieces of a stream make it up: texts grow, the rest is merged."""
    if isinstance(before, str) and isinstance(piece, str):
        return before + piece
    if isinstance(before, list) and isinstance(piece, list):
        return _joined_details(before, piece)
    return _merged(before, piece)


def _merged(before: Any, piece: Any) -> Any:
    if isinstance(before, dict) and isinstance(piece, dict):
        return {**before, **{name: _merged(before.get(name), piece[name]) for name in piece}}
    return piece


def _joined_details(before: Sequence[Any], pieces: Sequence[Any]) -> list[Any]:
    """Joins the pieces of each reasoning detail, which have the same type and index."""
    details = list(before)
    for piece in pieces:
        last = details[-1] if details else None
        if isinstance(last, dict) and isinstance(piece, dict) and _is_more_of(last, piece):
            said = {name: value for name, value in piece.items() if value is not None}
            grown = {name: _joined(last.get(name), said[name]) for name in _GROWING & said.keys()}
            details[-1] = {**last, **said, **grown}
        else:
            details.append(piece)
    return details


def _is_more_of(last: Mapping[str, Any], piece: Mapping[str, Any]) -> bool:
    return all(last.get(name) == piece.get(name) for name in ("type", "index"))
