"""Reduces a request to what an endpoint can take, for when no other can take it whole.

A picture becomes a note, JSON is asked for in words, the history loses its middle, and tools are
left out. An answer to less is better than none.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from llm_router.providers._wire import message_order as order
from llm_router.types import ChatRequest, Message

Part = Literal["tools", "images", "json", "context"]
"""A part of a request that may be reduced; `context`: its length."""

_SHARE = 0.85
"""The share of that room which a history may fill; the rest is for the reply."""
_CUT = " [...] "
_SHORTEST = 200  # characters to which a tool's result may be cut


def reduce_request(
    request: ChatRequest,
    parts: Collection[Part],
    *,
    characters: float = 0.0,
    is_left_out: Callable[[Mapping[str, Any]], bool] = lambda _: True,
) -> ChatRequest:
    """Returns the request with these parts reduced.

    `characters`: those of the words that the context has room for, the reply's included.
    `is_left_out`: which pictures are, where they are among the parts. Words of the system and of
    the user's last turn stay whole.
    """
    if not parts:
        return request
    messages: list[Any] = list(request.messages)
    if "images" in parts:
        messages = order.without_pictures(messages, is_left_out)
    if "json" in parts and request.response_format:
        messages = order.with_system_note(messages, order.json_note(request.response_format))
        request = replace(request, response_format=None)
    if "tools" in parts:
        messages = order.tools_in_words(messages)
        request = replace(
            request, tools=(), strict_tools=(), livekit_tools=(), tool_choice=None,
            parallel_tool_calls=None,
        )  # fmt: skip
    if "context" in parts:
        messages = shortened(messages, characters * _SHARE)
    return replace(request, messages=messages, livekit_context=None)


def shortened(messages: Sequence[Message], characters: float) -> list[Message]:
    """Returns the messages with at most so many characters, as far as that can be done.

    The oldest go first, each call of a tool together with its results. If the last turn alone is
    too long, the results of its tools lose their middle.
    """
    start = _last_turn(messages)
    instructions = [m for m in messages[:start] if m["role"] in {"system", "developer"}]
    turn = list(messages[start:])
    room = characters - _size(instructions) - _size(turn)
    if room < 0:
        results = [m for m in turn if m["role"] == "tool"]
        longest = max(_SHORTEST, (_size(results) + room) / max(1, len(results)))
        turn = [_cut(m, int(longest)) if m["role"] == "tool" else m for m in turn]
    chosen = set[int]()
    for group in reversed(_groups(messages, start)):
        room -= _size([messages[place] for place in group])
        if room < 0:
            break
        chosen |= {*group}
    before = [
        message
        for place, message in enumerate(messages[:start])
        if place in chosen or message["role"] in {"system", "developer"}
    ]
    return before + turn


def _last_turn(messages: Sequence[Message]) -> int:
    """Returns the place of the user's last message: all from there on is the last turn."""
    users = [place for place, message in enumerate(messages) if message["role"] == "user"]
    return users[-1] if users else max(0, len(messages) - 1)


def _groups(messages: Sequence[Message], end: int) -> list[list[int]]:
    """Groups the places of the messages before `end`: tool results belong to their call."""
    groups: list[list[int]] = []
    for place, message in enumerate(messages[:end]):
        if message["role"] in {"system", "developer"}:
            continue
        if message["role"] == "tool" and groups:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def _size(messages: Sequence[Message]) -> int:
    return sum(len(order.text_of_parts(message.get("content"))) for message in messages)


def _cut(message: Message, length: int) -> Message:
    text = order.text_of_parts(message.get("content"))
    if len(text) <= length:
        return message
    half = length // 2
    return {**message, "content": text[:half] + _CUT + text[-half:]}
