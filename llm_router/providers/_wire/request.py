"""Builds the body of a chat-completions request in the form that a given server accepts."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from llm_router.catalog.servers import Server
from llm_router.connections.record import Connection, Continuation
from llm_router.errors import ConfigurationError
from llm_router.providers._wire.arguments import object_text
from llm_router.providers._wire.extras import extras_of_call, extras_of_message, origin_of
from llm_router.types import ChatRequest, Message

# Fields that every server accepts; others belong to one vendor, and another answers 400 to them.
_FIELDS = ("content", "name", "tool_call_id")
_SHORT_ID = 9  # characters
_NO_PARAMETERS: Mapping[str, Any] = {"type": "object", "properties": {}}
_READ_ARGUMENTS = 1 << 15  # characters


def text_of(message: Message) -> str:
    """Returns the text of a message, whether it is one string or a list of parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(str(p["text"]) for p in content or () if p.get("text"))


def function_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """Returns name and arguments of a call, the arguments as an object instead of JSON text."""
    function = call["function"]
    arguments = object_text(function.get("arguments") or "{}") or "{}"
    return {"name": function["name"], "arguments": json.loads(arguments)}


def basic_continuation(connection: Connection) -> Continuation:
    """Returns the continuation of a provider that supports only `trailing` and `words`.

    Raises ConfigurationError where the connection names another one.
    """
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
    """Returns a new body; the request's own objects stay unchanged.

    The connection's `extra_body` takes precedence; a None in it removes the field.
    """
    origin = origin_of(connection.model_name, connection.base_url)
    messages = [_message(message, server, origin) for message in request.messages]
    max_tokens = _first(request.max_tokens, connection.max_tokens)
    body: dict[str, Any] = {
        "model": connection.model_name or None,
        "messages": _in_order(messages) if server.strict_order else messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": _first(request.temperature, connection.temperature),
        "top_p": _first(request.top_p, connection.top_p),
        server.max_tokens_field: _first(max_tokens, server.max_tokens),
        "stop": list(request.stop) or None,
        server.seed_field: request.seed,
        "response_format": request.response_format,
    }
    if request.tools:
        is_strict = server.accepts_strict_tools and bool(request.strict_tools)
        tools = request.strict_tools if is_strict else request.tools
        body["tools"] = [_tool(tool, server) for tool in tools]
        body["tool_choice"] = request.tool_choice
        body["parallel_tool_calls"] = request.parallel_tool_calls
    body |= request.extra_body
    for field in server.rejects:
        body.pop(field, None)
    _continue(body, request.prefix.rstrip(), continuation, server)
    usual = server.no_thinking_fields(connection.model_name)
    body |= {name: value for name, value in usual.items() if name not in request.extra_body}
    body |= connection.extra_body
    return {name: value for name, value in body.items() if value is not None}


def _first(requested: float | None, default: float | None) -> float | None:
    return default if requested is None else requested


def _message(message: Message, server: Server, origin: str) -> dict[str, Any]:
    role = message["role"]
    # Every server accepts `system`; `developer` is OpenAI's newer name for the same role.
    clean: dict[str, Any] = {"role": "system" if role == "developer" else role}
    clean |= {name: message[name] for name in _FIELDS if message.get(name) is not None}
    if not server.accepts_names:
        clean.pop("name", None)
    if calls := message.get("tool_calls"):
        clean["tool_calls"] = [_call(call, server, origin) for call in calls]
        if not clean.get("content"):
            clean["content"] = server.empty_content
    else:
        clean.setdefault("content", "")
    if role == "assistant":
        clean |= extras_of_message(message, origin)
    if "tool_call_id" in clean:
        clean["tool_call_id"] = _call_id(clean["tool_call_id"], server)
    return clean


def _in_order(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Reorders roles for servers with `strict_order`.

    A system message after the first user message becomes a user message. Between a tool's result
    and a user message a short assistant message is inserted.
    """
    ordered: list[dict[str, Any]] = []
    for message in messages:
        before = ordered[-1]["role"] if ordered else "system"
        if message["role"] == "system" and before != "system":
            message = {**message, "role": "user"}  # noqa: PLW2901  a copy: the original is unchanged
        if message["role"] == "user" and before == "tool":
            ordered.append({"role": "assistant", "content": "OK."})
        ordered.append(message)
    return ordered


def _call(call: Mapping[str, Any], server: Server, origin: str) -> dict[str, Any]:
    function = call["function"]
    extras = dict(extras_of_call(call, origin))
    within = extras.pop("function", None)
    return {
        **extras,
        "id": _call_id(call["id"], server),
        "type": "function",
        "function": {
            **(within if isinstance(within, Mapping) else {}),
            "name": function["name"],
            "arguments": object_arguments(function.get("arguments") or "{}"),
        },
    }


def object_arguments(text: str) -> str:
    """Returns the arguments as JSON of an object: many servers fail at a history with others.

    Long ones are left as they are, since reading them would hold up other calls.
    """
    if len(text) > _READ_ARGUMENTS:
        return text
    return object_text(text) or "{}"


def _call_id(given: str, server: Server) -> str:
    """Returns an id that the server accepts; the same input always gives the same id."""
    if not server.short_call_ids or (len(given) == _SHORT_ID and given.isalnum()):
        return given
    return hashlib.sha256(given.encode()).hexdigest()[:_SHORT_ID]


def _tool(tool: Mapping[str, Any], server: Server) -> dict[str, Any]:
    clean = dict(tool)
    if isinstance(function := clean.get("function"), Mapping):
        function = {
            k: v for k, v in function.items() if k != "strict" or server.accepts_strict_tools
        }
        clean["function"] = {**function, "parameters": object_schema(function.get("parameters"))}
    return clean


def object_schema(schema: Any) -> Mapping[str, Any]:
    """Returns a schema of an object, which many servers insist on, also for a tool without any."""
    if not isinstance(schema, Mapping):
        return _NO_PARAMETERS
    properties = schema.get("properties")
    has_properties = isinstance(properties, Mapping)
    if schema.get("type") and has_properties and None not in schema.values():  # the usual case
        return schema
    # Go writes a null for no fields or names, PHP an empty list for no fields.
    given = {name: value for name, value in schema.items() if value is not None}
    return {**_NO_PARAMETERS, **given, "properties": properties if has_properties else {}}


def _continue(
    body: dict[str, Any], prefix: str, continuation: Continuation, server: Server
) -> None:
    """Adds `prefix` to the body as the beginning of the reply.

    `prefix` must not end in a space: models continue a trailing space badly.
    """
    if not prefix or continuation == "words":
        return
    last: dict[str, Any] = {"role": "assistant", "content": prefix}
    if continuation in {"prefix", "partial"}:
        last[continuation] = True
    elif continuation == "flags":
        body |= server.continue_body
    body["messages"].append(last)
