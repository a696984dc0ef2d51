"""A request in LiveKit's terms: chat context and tools."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Never

from livekit.agents import llm

from llm_router.types import ChatRequest, Message

_LONGEST_ID = 9
"""Characters that every vendor takes for the id of a call."""


def chat_context(
    request: ChatRequest, prefix: str, *, call_id: str = ".*", ends_with_user: bool = False
) -> llm.ChatContext:
    """The request's own context where it has one, else one made of its messages.

    What one vendor leaves in a history and another rejects is put right: what it attached to an
    item (`extra`) is left out, and ids of calls that do not look like `call_id` are replaced, the
    same by the same. `prefix` becomes a last message of the assistant's; with `ends_with_user`, one
    that is last already is followed by a word of the caller's.
    """
    given = request.livekit_context
    if isinstance(given, llm.ChatContext):
        items = list(given.items)
    else:
        items = [i for message in request.messages for i in _items(message)]
    context = llm.ChatContext([_fitting(item, call_id) for item in items])
    last = context.items[-1] if context.items else None
    if prefix:
        context.add_message(role="assistant", content=prefix)
    elif ends_with_user and isinstance(last, llm.ChatMessage) and last.role == "assistant":
        context.add_message(role="user", content="(go on)")
    return context


def tools(request: ChatRequest) -> list[Any]:
    """LiveKit's own tools where the request has them, else ones that only describe."""
    return list(request.livekit_tools) or [_described(tool) for tool in request.tools]


def _fitting(item: llm.ChatItem, call_id: str) -> llm.ChatItem:
    """A copy, where anything must change."""
    changes: dict[str, Any] = {"extra": {}} if getattr(item, "extra", None) else {}
    given = getattr(item, "call_id", None)
    if given is not None and not re.fullmatch(call_id, given):
        changes["call_id"] = hashlib.sha256(given.encode()).hexdigest()[:_LONGEST_ID]
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
        items.append(
            llm.FunctionCall(
                call_id=call["id"], name=function["name"], arguments=function["arguments"]
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


def _described(tool: Mapping[str, Any]) -> llm.RawFunctionTool[..., Any]:
    function = tool["function"]
    schema = {
        "name": function["name"],
        "description": function.get("description") or "",
        "parameters": function.get("parameters") or {"type": "object", "properties": {}},
    }
    return llm.function_tool(_never_run, raw_schema=schema)


async def _never_run() -> Never:
    """A model is only told of the tool; whoever asked the router runs it."""
    raise RuntimeError("the router runs no tools")
