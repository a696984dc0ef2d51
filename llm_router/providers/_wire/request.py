"""What is asked: the body of a chat-completions request, as a given server takes it."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from llm_router.catalog.servers import Server
from llm_router.connections.record import Connection, Continuation
from llm_router.errors import ConfigurationError
from llm_router.types import ChatRequest, Message

# What a message may carry to any server; the rest is one vendor's own and another one's 400.
_FIELDS = ("content", "name", "tool_call_id")
_SHORT_ID = 9


def text_of(message: Message) -> str:
    """Its words alone, however they are parted."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(str(p["text"]) for p in content or () if p.get("text"))


def function_called(call: Mapping[str, Any]) -> dict[str, Any]:
    """Name and arguments of a call, these as an object, for who takes no text for one."""
    function = call["function"]
    arguments: Any = {}
    with suppress(ValueError):
        arguments = json.loads(function.get("arguments") or "{}")
    return {"name": function["name"], "arguments": arguments}


def trailing_or_words(connection: Connection) -> Continuation:
    """For who can do nothing else. Raises ConfigurationError where another way is asked for."""
    match connection.continuation or "trailing":
        case "trailing" | "words" as continuation:
            return continuation
    raise ConfigurationError(
        f"connection {connection.name!r}: provider {connection.provider} knows no continuation"
        f' {connection.continuation!r}; use "trailing" or "words"'
    )


def build_body(
    request: ChatRequest, connection: Connection, server: Server, continuation: Continuation
) -> dict[str, Any]:
    """A fresh body; nothing in it is shared with the request's own objects that it changes.

    The connection's `extra_body` has the last word; a None in it takes the field out.
    """
    messages = [_message(message, server) for message in request.messages]
    most = _first(request.max_tokens, connection.max_tokens)
    body: dict[str, Any] = {
        "model": connection.model_name or None,
        "messages": _in_order(messages) if server.strict_order else messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": _first(request.temperature, connection.temperature),
        "top_p": _first(request.top_p, connection.top_p),
        server.max_tokens_field: _first(most, server.max_tokens),
        "stop": list(request.stop) or None,
        server.seed_field: request.seed,
        "response_format": request.response_format,
    }
    if request.tools:
        body["tools"] = [_tool(tool, server) for tool in request.tools]
        body["tool_choice"] = request.tool_choice
    for field in server.rejects:
        body.pop(field, None)
    _continue(body, request.prefix.rstrip(), continuation, server)
    body |= {**server.keeps_quiet(connection.model_name), **connection.extra_body}
    return {name: value for name, value in body.items() if value is not None}


def _first(asked: float | None, default: float | None) -> float | None:
    return default if asked is None else asked


def _message(message: Message, server: Server) -> dict[str, Any]:
    role = message["role"]
    # Every server knows `system`; `developer` is OpenAI's younger name for the same.
    clean: dict[str, Any] = {"role": "system" if role == "developer" else role}
    clean |= {name: message[name] for name in _FIELDS if message.get(name) is not None}
    if not server.takes_names:
        clean.pop("name", None)
    if calls := message.get("tool_calls"):
        clean["tool_calls"] = [_call(call, server) for call in calls]
        if not clean.get("content"):
            clean["content"] = server.empty_content
    else:
        clean.setdefault("content", "")
    if "tool_call_id" in clean:
        clean["tool_call_id"] = _call_id(clean["tool_call_id"], server)
    return clean


def _in_order(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same where no system message may stand after the head, and no word of the caller's
    right after a tool's result: the first is said by the caller, before the second stands a word.
    """
    ordered: list[dict[str, Any]] = []
    for message in messages:
        before = ordered[-1]["role"] if ordered else "system"
        if message["role"] == "system" and before != "system":
            message = {**message, "role": "user"}  # noqa: PLW2901  a copy: the caller's stays
        if message["role"] == "user" and before == "tool":
            ordered.append({"role": "assistant", "content": "OK."})
        ordered.append(message)
    return ordered


def _call(call: Mapping[str, Any], server: Server) -> dict[str, Any]:
    function = call["function"]
    return {
        "id": _call_id(call["id"], server),
        "type": "function",
        "function": {"name": function["name"], "arguments": function.get("arguments") or "{}"},
    }


def _call_id(given: str, server: Server) -> str:
    """The same id for the same call in every request, in a form the server accepts."""
    if not server.short_call_ids or (len(given) == _SHORT_ID and given.isalnum()):
        return given
    return hashlib.sha256(given.encode()).hexdigest()[:_SHORT_ID]


def _tool(tool: Mapping[str, Any], server: Server) -> dict[str, Any]:
    clean = dict(tool)
    if not server.takes_strict_tools and isinstance(clean.get("function"), Mapping):
        clean["function"] = {k: v for k, v in clean["function"].items() if k != "strict"}
    return clean


def _continue(
    body: dict[str, Any], prefix: str, continuation: Continuation, server: Server
) -> None:
    """Ask for what comes after `prefix`, whose last space is gone: a cut there reads badly."""
    if not prefix or continuation == "words":
        return
    last: dict[str, Any] = {"role": "assistant", "content": prefix}
    if continuation in {"prefix", "partial"}:
        last[continuation] = True
    elif continuation == "flags":
        body |= server.continue_body
    body["messages"].append(last)
