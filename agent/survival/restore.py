"""Turns a stored conversation into that of the next agent, and decides its first words. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from livekit.agents import llm

from agent.budget import CallSoFar
from llm_router.integrations.livekit import ROUTE, UNFINISHED
from llm_router.voice.calls import INTERRUPTED_BY, Call, CallItem

APOLOGISE_AFTER = 2.0
"""Seconds of silence that are worth a word of apology."""
UNKNOWN = (
    "The outcome is unknown: the connection broke while this ran. Do not repeat the call. Say that"
    " you cannot confirm it."
)
_HALF = "voiced-"
"""Beginning of the id of an item that holds half a reply, cut off by its agent's death."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """Where an agent goes on.

    `opening`: words to say first, may be empty; `in_history`: whether they belong in it.
    `owes_reply`: a reply is to follow, which continues the context's last message if that is
    unfinished. `half`: the voiced half of a reply, to be stored as an item. `lost`: tools that ran
    as the agent died, with that as their outcome, to be stored after it.
    `so_far`: the part of its limits that the call has used.
    """

    context: llm.ChatContext
    opening: str = ""
    in_history: bool = False
    owes_reply: bool = False
    half: str = ""
    lost: Sequence[Mapping[str, Any]] = ()
    so_far: CallSoFar = field(default_factory=CallSoFar)


def resume(
    call: Call, items: Sequence[CallItem], *, gap: float, greeting: str, apology: str
) -> Resumption:
    """Returns where the next agent goes on, `gap` seconds after the last sign of the one before."""
    items = [item for item in items if item.text.strip() or item.tool_calls]
    lost = _lost_tools(call, items)
    parts = _parts(items)
    whole = items[: len(items) - len(parts)]
    halves = _halves(parts)
    # To store a part forgets the voiced words that it is made of: these are later ones.
    begun = " ".join(part for text in [*halves, call.voiced] if (part := text.strip()))
    history = _history(whole)
    rest = _rest(greeting, begun)
    if not whole and not lost and (rest is not None or not parts):
        history += _said_half(begun, is_last=False)
        opening = greeting if rest is None else rest
        return Resumption(
            context=llm.ChatContext(history), opening=opening, in_history=True, half=call.voiced
        )
    history += _said_half(begun, is_last=not lost)
    for tool in lost:
        history += _run(tool)
    return Resumption(
        context=llm.ChatContext(history),
        opening=apology if gap > APOLOGISE_AFTER else "",
        owes_reply=bool(lost or begun) or whole[-1].role != "assistant",
        half=call.voiced,
        lost=lost,
    )


def half_item_id(epoch: int) -> str:
    """Returns the id of the item that holds the half reply of the agent before this epoch's."""
    return f"{_HALF}{epoch}"


def used_so_far(call: Call, items: Sequence[CallItem], now: datetime) -> CallSoFar:
    """Returns what a stored call has used of its limits."""
    receipts = [item.receipt for item in items]
    return CallSoFar(
        seconds=max(0.0, (now - call.started_at).total_seconds()),
        turns=sum(item.role == "user" for item in items),
        tokens=sum(receipt.get("tokens", 0) for receipt in receipts),
        cost=sum(receipt.get("cost", 0.0) for receipt in receipts),
    )


def _rest(text: str, begun: str) -> str | None:
    """Returns the words of a text that are left, from the one that was cut off; None: of another.

    Words are compared, since a voice passes on neither line breaks nor two blanks.
    """
    words, said = text.split(), begun.split()
    if not said:
        return text
    whole = len(said) - 1
    if len(said) > len(words) or words[:whole] != said[:whole]:
        return None
    if not words[whole].startswith(said[whole]):
        return None
    return " ".join(words[whole + (words[whole] == said[whole]) :])


def _parts(items: Sequence[CallItem]) -> Sequence[CallItem]:
    """Returns the last items that are parts of the reply under way: its agents died in it.

    One that had the time to end has left its part as an interrupted reply. A reply that the caller
    has interrupted is none: it is over.
    """
    begin = len(items)
    while begin and _is_part(items[begin - 1]):
        begin -= 1
    return items[begin:]


def _is_part(item: CallItem) -> bool:
    if item.role != "assistant" or item.receipt.get(INTERRUPTED_BY):
        return False
    return _is_half(item) or item.interrupted_at is not None


def _is_half(item: CallItem) -> bool:
    return item.id.startswith(_HALF)


def _halves(parts: Sequence[CallItem]) -> Sequence[str]:
    """Returns the words of the parts, each once.

    An agent that was thought to be dead may store its part after its half was stored for it.
    """
    halves: list[str] = []
    before: CallItem | None = None
    for part in parts:
        is_late = before is not None and part.epoch < _number(before) and not _is_half(part)
        halves.append(_after(halves[-1], part.text) if is_late else part.text)
        before = part
    return halves


def _number(item: CallItem) -> int:
    """Returns the epoch whose agent has stored a half; 0 for any other item."""
    number = item.id.removeprefix(_HALF)
    return int(number) if _is_half(item) and number.isdecimal() else 0


def _after(known: str, words: str) -> str:
    """Returns the part of the words that does not repeat known ones, of which both begin alike."""
    first, second = known.split(), words.split()
    if second == first[: len(second)]:
        return ""
    return " ".join(second[len(first) :]) if first == second[: len(first)] else words


def _said_half(begun: str, *, is_last: bool) -> Sequence[llm.ChatItem]:
    """Returns the message of a half reply, which the next one continues if it is the last."""
    if not begun:
        return []
    extra = {ROUTE: {UNFINISHED: True}} if is_last else {}
    return [llm.ChatMessage(role="assistant", content=[begun], interrupted=True, extra=extra)]


def _history(items: Sequence[CallItem]) -> list[llm.ChatItem]:
    history: list[llm.ChatItem] = []
    for item in items:
        if item.text and item.role != "tool":
            history.append(
                llm.ChatMessage(
                    id=item.id,
                    role=item.role,
                    content=[item.text],
                    interrupted=item.interrupted_at is not None,
                    created_at=item.created_at.timestamp(),
                )
            )
        for tool in item.tool_calls:
            history += _run(tool)
    return history


def _run(tool: Mapping[str, Any]) -> Sequence[llm.ChatItem]:
    """Returns the call of a tool and its outcome."""
    call_id, name = str(tool.get("call_id", "")), str(tool.get("name", ""))
    output, is_error = str(tool.get("output", "")), bool(tool.get("is_error"))
    return [
        llm.FunctionCall(call_id=call_id, name=name, arguments=_arguments(tool)),
        llm.FunctionCallOutput(call_id=call_id, name=name, output=output, is_error=is_error),
    ]


def _lost_tools(call: Call, items: Sequence[CallItem]) -> Sequence[Mapping[str, Any]]:
    """Returns the tools that ran when the agent died, with that as their outcome."""
    known = [_identity(tool) for item in items for tool in item.tool_calls]
    lost = [tool for tool in call.tools_in_flight if _identity(tool) not in known]
    return [{**tool, "output": UNKNOWN, "is_error": True} for tool in lost]


def _identity(tool: Mapping[str, Any]) -> Sequence[Any]:
    """Returns what tells a call of a tool from others; some servers use an id again."""
    return [tool.get("call_id"), tool.get("name"), _arguments(tool)]


def _arguments(tool: Mapping[str, Any]) -> str:
    given = tool.get("arguments", "{}")
    return given if isinstance(given, str) else json.dumps(given)
