"""Builds request bodies of Ollama's own API (docs.ollama.com/api)."""

from collections.abc import Mapping, Sequence
from typing import Any

from llm_router.connections.record import Connection
from llm_router.errors import StatusError
from llm_router.providers._wire.request import function_call, object_schema, text_of
from llm_router.providers._wire.text_prompt import NEXT_TURN, text_prompt
from llm_router.types import ChatRequest, Message

_TOP_LEVEL_FIELDS = frozenset(
    {"think", "keep_alive", "format", "raw", "template", "truncate", "shift", "logprobs"}
)
"""Fields of `extra_body` that belong beside `options` in the body; others belong into them."""


def is_raw(connection: Connection) -> bool:
    """Returns whether `extra_body` has `{"raw": true}`: the model has no chat format."""
    return bool(connection.extra_body.get("raw"))


def chat_body(request: ChatRequest, connection: Connection, prefix: str) -> dict[str, Any]:
    """Returns a new body for /api/chat, or for /api/generate where the model has no chat format.

    The connection's `extra_body` takes precedence; a None in it removes the field.
    """
    body: dict[str, Any] = {"model": connection.model_name, "stream": True, "think": False}
    if is_raw(connection):
        body["prompt"] = text_prompt(request.messages, prefix)
        stop = [*request.stop, *([NEXT_TURN] if len(request.messages) > 1 else [])]
    else:
        body["messages"] = _messages(request.messages)
        if prefix:
            body["messages"].append({"role": "assistant", "content": prefix})
        body["tools"] = [_tool(tool) for tool in _tools(request)] or None
        stop = list(request.stop)
    body["format"] = _format(request.response_format)
    body["options"] = _options(
        connection,
        temperature=request.temperature,
        top_p=request.top_p,
        num_predict=request.max_tokens,
        stop=stop or None,
        seed=request.seed,
    )
    body |= {k: v for k, v in connection.extra_body.items() if k in _TOP_LEVEL_FIELDS}
    return {name: value for name, value in body.items() if value is not None}


def load_body(connection: Connection) -> dict[str, Any]:
    """Returns a body that loads the model and generates nothing.

    It holds the options of later requests, since Ollama reloads a model when they differ.
    """
    body: dict[str, Any] = {"model": connection.model_name, "messages": [], "stream": False}
    body["options"] = _options(connection)
    keep_alive = connection.extra_body.get("keep_alive")
    if keep_alive is not None and any(digit in str(keep_alive) for digit in "123456789"):
        body["keep_alive"] = keep_alive  # zero would unload the model
    return body


def _options(connection: Connection, **overrides: Any) -> dict[str, Any]:
    options: dict[str, Any] = {
        "temperature": connection.temperature,
        "top_p": connection.top_p,
        "num_predict": connection.max_tokens,
        "num_ctx": connection.context_length,
    }
    options |= {name: value for name, value in overrides.items() if value is not None}
    for name, value in connection.extra_body.items():
        if name == "options" and isinstance(value, Mapping):
            options |= value
        elif name not in _TOP_LEVEL_FIELDS:
            options[name] = value
    return {name: value for name, value in options.items() if value is not None}


def _format(wanted: Mapping[str, Any] | None) -> Any:
    match (wanted or {}).get("type"):
        case "json_object":
            return "json"
        case "json_schema":
            return (wanted or {})["json_schema"].get("schema") or "json"
    return None


def _tools(request: ChatRequest) -> list[Mapping[str, Any]]:
    """Returns the tools that the model may choose: Ollama's API has no `tool_choice`."""
    choice = request.tool_choice
    if choice == "none":
        return []
    if isinstance(choice, Mapping):
        name = choice.get("function", {}).get("name")
        return [tool for tool in request.tools if tool.get("function", {}).get("name") == name]
    return list(request.tools)


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool.get("function", {})
    schema = object_schema(function.get("parameters"))
    return {**tool, "function": {**function, "parameters": schema}}


def _messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    names = {
        call["id"]: call["function"]["name"]
        for message in messages
        for call in message.get("tool_calls") or ()
    }
    return [_message(message, names) for message in messages]


def _message(message: Message, names: Mapping[str, str]) -> dict[str, Any]:
    role = message["role"]
    clean: dict[str, Any] = {
        "role": "system" if role == "developer" else role,
        "content": text_of(message),
    }
    if images := _images(message):
        clean["images"] = images
    if calls := message.get("tool_calls"):
        clean["tool_calls"] = [{"function": function_call(call)} for call in calls]
    if role == "tool" and (name := message.get("name") or names.get(message["tool_call_id"])):
        clean["tool_name"] = name
    return clean


def _images(message: Message) -> list[str]:
    content = message.get("content")
    parts = content if isinstance(content, list) else ()
    return [_image(part["image_url"]["url"]) for part in parts if part.get("type") == "image_url"]


def _image(url: str) -> str:
    """Returns the base64 data of a picture. Raises StatusError for an address to fetch."""
    head, comma, data = url.partition(",")
    if not (head.startswith("data:") and head.endswith(";base64") and comma):
        raise StatusError(400, code="image_address", detail="Ollama fetches no images")
    return data
