"""Turns a stored conversation into that of the next agent, and decides its first words. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from livekit.agents import llm

from agent.budget import CallSoFar
from llm_router.integrations.livekit import ROUTE, UNFINISHED
from llm_router.voice.calls import Call, CallItem

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
    unfinished. `half`: the voiced half of a reply, to be stored as an item. `so_far`: the part of
    its limits that the call has used.
    """

    context: llm.ChatContext
    opening: str = ""
    in_history: bool = False
    owes_reply: bool = False
    half: str = ""
    so_far: CallSoFar = field(default_factory=CallSoFar)


def resume(
    call: Call, items: Sequence[CallItem], *, gap: float, greeting: str, apology: str
) -> Resumption:
    """Returns where the next agent goes on, `gap` seconds after the last sign of the one before."""
    context = llm.ChatContext(_history(items))
    if not items and not call.voiced:
        return Resumption(context=context, opening=greeting, in_history=True)
    if not items:
        return _rest_of_greeting(context, call.voiced, greeting)
    sorry = apology if gap > APOLOGISE_AFTER else ""
    lost = _unknown_outcomes(call, context)
    context.items.extend(lost)
    halves = _halves(items)
    voiced = "" if halves and call.voiced.strip() in halves[-1] else call.voiced
    begun = " ".join(part for text in [*halves, voiced] if (part := text.strip()))
    is_greeting = not lost and len(halves) == len(items) and _rest(greeting, begun) is not None
    if begun and is_greeting:
        return _rest_of_greeting(context, begun, greeting)
    if begun and not lost:
        del context.items[len(context.items) - len(halves) :]
        context.items.append(
            llm.ChatMessage(
                role="assistant",
                content=[begun],
                interrupted=True,
                extra={ROUTE: {UNFINISHED: True}},
            )
        )
    last = items[-1]
    owes = bool(lost or begun) or last.role != "assistant"
    return Resumption(context=context, opening=sorry, owes_reply=owes, half=voiced)


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """The run of a tool by an earlier agent; `result` is None if its outcome is unknown."""

    tool: str
    arguments: Mapping[str, Any]
    result: str | None


def earlier_runs(context: llm.ChatContext) -> Sequence[EarlierRun]:
    """Returns the tools that earlier agents of the call have run or begun, but for failed runs."""
    outputs = {
        item.call_id: item for item in context.items if isinstance(item, llm.FunctionCallOutput)
    }
    runs: list[EarlierRun] = []
    for item in context.items:
        output = outputs.get(item.call_id) if isinstance(item, llm.FunctionCall) else None
        if output is None or not isinstance(item, llm.FunctionCall):
            continue
        is_unknown = output.output == UNKNOWN
        if is_unknown or not output.is_error:
            result = None if is_unknown else output.output
            runs.append(EarlierRun(item.name, _parsed(item.arguments), result))
    return runs


def _parsed(arguments: str) -> Mapping[str, Any]:
    try:
        given = json.loads(arguments)
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}


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


def _rest_of_greeting(context: llm.ChatContext, voiced: str, greeting: str) -> Resumption:
    """Returns what is to be said of a greeting; all of it, if something else was begun."""
    rest = _rest(greeting, voiced)
    return Resumption(context=context, opening=greeting if rest is None else rest, in_history=True)


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


def _halves(items: Sequence[CallItem]) -> list[str]:
    """Returns the parts of the reply under way that are stored: its agents died in it.

    One that had the time to end has left its part as an interrupted reply.
    """
    halves: list[str] = []
    for item in reversed(items):
        is_part = item.id.startswith(_HALF) or item.interrupted_at is not None
        if item.role != "assistant" or not is_part:
            break
        halves.insert(0, item.text)
    return halves


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
        for call in item.tool_calls:
            name, call_id = str(call.get("name", "")), str(call.get("call_id", ""))
            history.append(llm.FunctionCall(call_id=call_id, name=name, arguments=_arguments(call)))
            history.append(
                llm.FunctionCallOutput(
                    call_id=call_id,
                    name=name,
                    output=str(call.get("output", "")),
                    is_error=bool(call.get("is_error")),
                )
            )
    return history


def _unknown_outcomes(call: Call, context: llm.ChatContext) -> list[llm.ChatItem]:
    """Returns the tools that ran when the agent died, with that as their outcome."""
    known = {item.call_id for item in context.items if isinstance(item, llm.FunctionCall)}
    lost: list[llm.ChatItem] = []
    for tool in call.tools_in_flight:
        call_id, name = str(tool.get("call_id", "")), str(tool.get("name", ""))
        if call_id in known:
            continue
        lost.append(llm.FunctionCall(call_id=call_id, name=name, arguments=_arguments(tool)))
        lost.append(
            llm.FunctionCallOutput(call_id=call_id, name=name, output=UNKNOWN, is_error=True)
        )
    return lost


def _arguments(call: object) -> str:
    given = call.get("arguments", "{}") if isinstance(call, dict) else "{}"
    return given if isinstance(given, str) else json.dumps(given)
