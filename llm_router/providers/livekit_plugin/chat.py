"""Translates a request into LiveKit's chat context and tools."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Never

from livekit.agents import llm

from llm_router.providers._wire.extras import extras_of_call, from_livekit, to_livekit
from llm_router.providers._wire.request import object_arguments, object_schema
from llm_router.types import ChatRequest, Message

_ID_LENGTH = 9
"""The length of call ids that every vendor accepts, in characters."""


def chat_context(
    request: ChatRequest,
    prefix: str,
    *,
    origin: str = "",
    call_id: str = ".*",
    ends_with_user: bool = False,
) -> llm.ChatContext:
    """Returns the request's own context if it has one, else one made of its messages.

    Parts of a history that only one vendor accepts are corrected: attachments (`extra`) that are
    not of the model family `origin` are removed, and call ids that do not match `call_id` are
    replaced, equal ids by equal ones.
    `prefix` becomes a last assistant message. With `ends_with_user` a history that ends with an
    assistant message gets a short user message after it.
    """
    given = request.livekit_context
    if isinstance(given, llm.ChatContext):
        items = list(given.items)
    else:
        items = [i for message in request.messages for i in _items(message)]
    context = llm.ChatContext([_corrected(item, call_id, origin) for item in items])
    last = context.items[-1] if context.items else None
    if prefix:
        context.add_message(role="assistant", content=prefix)
    elif ends_with_user and isinstance(last, llm.ChatMessage) and last.role == "assistant":
        context.add_message(role="user", content="(go on)")
    return context


def tools(request: ChatRequest) -> list[Any]:
    """Returns the request's LiveKit tools, else tools that only describe themselves."""
    return list(request.livekit_tools) or [_description_of(tool) for tool in request.tools]


def with_tools(request: ChatRequest) -> ChatRequest:
    """Returns the request with its tools named, where only LiveKit's own are given."""
    names = [tool.info.name for tool in request.livekit_tools if hasattr(tool, "info")]
    return replace(request, tools=request.tools or [{"name": name} for name in names])


def _corrected(item: llm.ChatItem, call_id: str, origin: str) -> llm.ChatItem:
    """Returns the item itself, or a corrected copy of it."""
    changes: dict[str, Any] = {}
    if extra := getattr(item, "extra", None):
        own = extras_of_call(from_livekit(extra), origin).get("extra_content")
        changes["extra"] = own if isinstance(own, dict) else {}
    given = getattr(item, "call_id", None)
    if given is not None and not re.fullmatch(call_id, given):
        changes["call_id"] = hashlib.sha256(given.encode()).hexdigest()[:_ID_LENGTH]
    return item.model_copy(update=changes) if changes else item


def _items(message: Message) -> list[llm.ChatItem]:
    role, content = message["role"], message.get("content")
    if role == "tool":
        output = llm.FunctionCallOutput(
            call_id=message["tool_call_id"],
            name=message.get("name") or "",
            output=content if isinstance(content, str) else _text(content),
            is_error=False,
        )
        return [output]
    items: list[llm.ChatItem] = []
    if content:
        items.append(llm.ChatMessage(role=role, content=_content(content)))
    for call in message.get("tool_calls") or ():
        function = call["function"]
        content, extras = call.get("extra_content"), call.get("extras")
        items.append(
            llm.FunctionCall(
                call_id=call["id"],
                name=function["name"],
                arguments=object_arguments(function.get("arguments") or "{}"),
                extra=to_livekit(extras or {"call": {"extra_content": content or {}}}),
            )
        )
    return items


def _content(content: str | Sequence[Mapping[str, Any]]) -> list[llm.ChatContent]:
    if isinstance(content, str):
        return [content]
    parts: list[llm.ChatContent] = []
    for part in content:
        if part.get("type") == "image_url":
            parts.append(llm.ImageContent(image=part["image_url"]["url"]))
        elif part.get("text"):
            parts.append(str(part["text"]))
    return parts


def _text(content: Sequence[Mapping[str, Any]] | None) -> str:
    return "\n".join(str(part["text"]) for part in content or () if part.get("text"))


def _description_of(tool: Mapping[str, Any]) -> llm.RawFunctionTool[..., Any]:
    function = tool["function"]
    schema = {
        "name": function["name"],
        "description": function.get("description") or "",
        "parameters": object_schema(function.get("parameters")),
    }
    return llm.function_tool(_never_run, raw_schema=schema)


async def _never_run() -> Never:
    """Fails when called: the router's user runs the tools, the model only sees descriptions."""
    raise RuntimeError("the router runs no tools")
