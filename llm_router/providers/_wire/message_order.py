"""Rewrites the messages of a request for servers and chat templates that take only some orders.

Each function takes and returns messages in OpenAI form, leaves those given unchanged, and returns
equal messages where there is nothing to do. Words are moved, never lost.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Messages = list[dict[str, Any]]

PICTURE_LEFT_OUT = "[picture left out]"
_NOTE = {"type": "text", "text": PICTURE_LEFT_OUT}
GO_ON = "."
"""The words of a user's message that has to be there and has nothing to say, as LiveKit sends."""
_ACKNOWLEDGED = "OK."
_SHORT_ID = 9  # characters


def text_of_parts(content: Any) -> str:
    """Returns the text of a content; a note stands for each picture."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    texts = (_text_of_part(part) for part in content if isinstance(part, Mapping))
    return "\n".join(text for text in texts if text)


def _text_of_part(part: Mapping[str, Any]) -> str:
    text = part.get("text")
    return text if isinstance(text, str) else PICTURE_LEFT_OUT


def system_first(messages: Messages) -> Messages:
    """Leaves one system message, at the beginning; later ones become the user's."""
    leading = 0
    while leading < len(messages) and messages[leading]["role"] == "system":
        leading += 1
    head = [_merged(messages[:leading])] if leading else []
    later = [{**m, "role": "user"} if m["role"] == "system" else m for m in messages[leading:]]
    return head + later


def system_in_user(messages: Messages) -> Messages:
    """Moves the words of system messages to the front of the user's first message."""
    messages = system_first(messages)
    if not messages or messages[0]["role"] != "system":
        return messages
    head, rest = {**messages[0], "role": "user"}, messages[1:]
    for place, message in enumerate(rest):
        if message["role"] == "user":
            return [*rest[:place], _merged([head, message]), *rest[place + 1 :]]
    return [head, *rest]


def tools_in_words(messages: Messages) -> Messages:
    """Tells calls of tools and their results in words, for a server that has no role for them."""
    names = {
        str(call.get("id")): str(call["function"]["name"])
        for message in messages
        for call in message.get("tool_calls") or ()
    }
    return [_in_words(message, names) for message in messages]


def _in_words(message: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    text = text_of_parts(message.get("content"))
    if message["role"] == "tool":
        name = names.get(str(message.get("tool_call_id")), "the tool")
        return {"role": "user", "content": f"[{name} returned: {text}]"}
    if calls := message.get("tool_calls"):
        made = [f"[{c['function']['name']} {c['function'].get('arguments') or ''}]" for c in calls]
        return {"role": message["role"], "content": "\n".join(filter(None, [text, *made]))}
    return message


def paired_tools(messages: Messages) -> Messages:
    """Puts each tool result directly after its call, and tells in words what has no counterpart."""
    results = {str(m.get("tool_call_id")): m for m in messages if m["role"] == "tool"}
    ordered: Messages = []
    used = set[str]()
    for message in messages:
        if message["role"] == "tool":
            continue
        calls = message.get("tool_calls") or ()
        answered = [call for call in calls if str(call.get("id")) in results]
        if len(answered) < len(calls):
            message = {**message, "tool_calls": answered}  # noqa: PLW2901  a copy: the original is unchanged
            if not answered:
                del message["tool_calls"]
                message["content"] = message.get("content") or ""
        ordered.append(message)
        ordered += [results[str(call.get("id"))] for call in answered]
        used |= {str(call.get("id")) for call in answered}
    orphans = [m for call_id, m in results.items() if call_id not in used]
    for orphan in orphans:
        ordered.insert(_place_of(orphan, messages, ordered), _in_words(orphan, {}))
    return [m for m in ordered if m.get("tool_calls") or text_of_parts(m.get("content"))]


def _place_of(orphan: dict[str, Any], messages: Messages, ordered: Messages) -> int:
    """Returns where an orphan stands in `ordered`: after the message that stood before it."""
    before = [m for m in messages[: messages.index(orphan)] if m["role"] != "tool"]
    for message in reversed(before):
        for place, other in enumerate(ordered):
            if other is message:
                return place + 1
    return len(ordered)


def alternating(messages: Messages) -> Messages:
    """Lets user and assistant take turns, the user first, after one system message at most."""
    ordered: Messages = []
    for message in system_first(messages):
        before = ordered[-1] if ordered else None
        role = message["role"]
        if role == "assistant" and (before is None or before["role"] == "system"):
            ordered.append({"role": "user", "content": GO_ON})
        elif role == "user" and before is not None and before["role"] == "tool":
            ordered.append({"role": "assistant", "content": _ACKNOWLEDGED})
        elif before is not None and _may_merge(before, message):
            ordered[-1] = _merged([before, message])
            continue
        ordered.append(message)
    if not any(message["role"] == "user" for message in ordered):
        ordered.append({"role": "user", "content": GO_ON})
    return ordered


def _may_merge(one: dict[str, Any], other: dict[str, Any]) -> bool:
    same = one["role"] == other["role"] and one["role"] in {"user", "assistant"}
    return same and not (one.get("tool_calls") or other.get("tool_calls"))


def user_last(messages: Messages, ask: str = GO_ON) -> Messages:
    """Ends with a message of the user's, or with a tool's result."""
    last = messages[-1]["role"] if messages else "assistant"
    if last in {"user", "tool"}:
        return messages
    # What continues a reply belongs to its last message alone.
    bare = [{n: v for n, v in m.items() if n not in {"prefix", "partial"}} for m in messages]
    return [*bare, {"role": "user", "content": ask}]


def plain_texts(messages: Messages) -> Messages:
    """Writes each content without pictures as one text instead of a list of parts."""
    return [
        {**m, "content": text_of_parts(m["content"])}
        if isinstance(m.get("content"), list) and not _has_picture(m["content"])
        else m
        for m in messages
    ]


def without_pictures(
    messages: Messages, is_left_out: Callable[[Mapping[str, Any]], bool] = lambda _: True
) -> Messages:
    """Puts a note in the place of each picture; one text is left of a content without others."""

    def noted(content: Any) -> Any:
        parts = [_NOTE if p.get("type") != "text" and is_left_out(p) else p for p in content]
        return parts if _has_picture(parts) else text_of_parts(parts)

    return [
        {**m, "content": noted(m["content"])} if _has_picture(m.get("content")) else m
        for m in messages
    ]


def _has_picture(content: Any) -> bool:
    return isinstance(content, list) and any(part.get("type") != "text" for part in content)


def without_nulls(messages: Messages) -> Messages:
    """Writes an empty text where a message has no content."""
    return [{**m, "content": ""} if m.get("content") is None else m for m in messages]


def without_empties(messages: Messages) -> Messages:
    """Leaves out messages that say nothing; one that calls tools loses its empty content."""
    result: Messages = []
    for message in messages:
        if text_of_parts(message.get("content")).strip():
            result.append(message)
        elif message["role"] == "tool":
            result.append({**message, "content": _ACKNOWLEDGED})
        elif message.get("tool_calls"):
            result.append({name: value for name, value in message.items() if name != "content"})
    return result


def short_call_ids(messages: Messages) -> Messages:
    """Gives every tool call an id of nine letters and digits, equal ones to equal ids."""
    return [
        {
            **message,
            **(
                {"tool_calls": [{**c, "id": _short(c["id"])} for c in calls]}
                if (calls := message.get("tool_calls"))
                else {}
            ),
            **({"tool_call_id": _short(i)} if (i := message.get("tool_call_id")) else {}),
        }
        for message in messages
    ]


def _short(given: str) -> str:
    if len(given) == _SHORT_ID and given.isalnum():
        return given
    return hashlib.sha256(given.encode()).hexdigest()[:_SHORT_ID]


def with_system_note(messages: Messages, note: str) -> Messages:
    """Adds a note to the first system message, or makes one of it."""
    system = {"role": "system", "content": note}
    if messages and messages[0]["role"] == "system":
        return [_merged([messages[0], system]), *messages[1:]]
    return [system, *messages]


def _merged(messages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns one message with the words, and the pictures, of all."""
    contents = [message.get("content") or "" for message in messages]
    if len(messages) == 1:
        return messages[0]
    if all(isinstance(content, str) for content in contents):
        merged: Any = "\n\n".join(content for content in contents if content)
    else:
        parts = ([{"type": "text", "text": c}] if isinstance(c, str) else c for c in contents)
        merged = [part for some in parts for part in some if part.get("text") != ""]
    return {**messages[0], "content": merged}


def json_note(response_format: Mapping[str, Any]) -> str:
    """Returns the words that ask for what a `response_format` asks for."""
    schema = response_format.get("json_schema")
    note = "Reply with one JSON object and nothing else."
    if isinstance(schema, Mapping) and schema.get("schema"):
        return f"{note} Its JSON schema: {json.dumps(schema['schema'])}"
    return note
