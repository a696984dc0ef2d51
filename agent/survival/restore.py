"""Turns a stored conversation into that of the next agent, and decides its first words. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from livekit.agents import llm

from agent.budget import CallSoFar
from agent.survival.outcomes import CUT
from agent.survival.remains import HALF, arguments_of, lost_tools
from llm_router.integrations.livekit import ROUTE, UNFINISHED
from llm_router.voice.calls import INTERRUPTED_BY, TALKING_SINCE, Call, CallItem, answered_by

APOLOGISE_AFTER = 2.0
"""Seconds of silence that are worth a word of apology."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """Where an agent goes on.

    `opening`: words to say first, may be empty; `in_history`: whether they belong in it.
    `owes_reply`: a reply is to follow, which continues the context's last message if that is
    unfinished. `half`: the voiced half of a reply, to be stored as an item. `lost`: tools that ran
    as the agent died, with that as their outcome, to be stored after it.
    `so_far`: the part of its limits that the call has used. `language`: the one that the caller has
    changed to; empty: none. `is_first`: neither side has said a word yet, as far as is known.
    `is_machine`: a machine has answered, and has no whole message yet.
    """

    context: llm.ChatContext
    opening: str = ""
    in_history: bool = False
    owes_reply: bool = False
    half: str = ""
    lost: Sequence[Mapping[str, Any]] = ()
    so_far: CallSoFar = field(default_factory=CallSoFar)
    language: str = ""
    is_first: bool = False
    is_machine: bool = False


def resume(
    call: Call,
    items: Sequence[CallItem],
    *,
    gap: float,
    greeting: str,
    apology: str,
    cut: str = "",
) -> Resumption:
    """Returns where the next agent goes on, `gap` seconds after the last sign of the one before.

    `cut` is said where that one died in the middle of a transfer.
    """
    items = [item for item in items if item.text.strip() or item.tool_calls]
    lost = lost_tools(call, items)
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
            context=llm.ChatContext(history),
            opening=opening,
            in_history=True,
            half=call.voiced,
            is_first=not (begun or call.answered_at or answered_by(call) == "person"),
        )
    history += _said_half(begun, is_last=not lost)
    for tool in lost:
        history += _run(tool)
    if any(tool["output"] == CUT for tool in lost):
        return Resumption(
            context=llm.ChatContext(history),
            opening=cut or apology,
            in_history=True,
            half=call.voiced,
            lost=lost,
        )
    return Resumption(
        context=llm.ChatContext(history),
        opening=apology if gap > APOLOGISE_AFTER else "",
        owes_reply=bool(lost or begun) or whole[-1].role != "assistant",
        half=call.voiced,
        lost=lost,
    )


def after(said: Sequence[tuple[llm.ChatRole, str]], resumption: Resumption) -> Resumption:
    """Returns where an agent goes on, which also knows what was said before the call."""
    before = [llm.ChatMessage(role=role, content=[text], created_at=0.0) for role, text in said]
    return replace(resumption, context=llm.ChatContext([*before, *resumption.context.items]))


def used_so_far(call: Call, items: Sequence[CallItem], now: datetime) -> CallSoFar:
    """Returns what a stored call has used of its limits."""
    receipts = [item.receipt for item in items]
    began = call.metadata.get(TALKING_SINCE) or call.started_at.timestamp()
    return CallSoFar(
        seconds=max(0.0, now.timestamp() - began),
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
    return item.id.startswith(HALF)


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
    number = item.id.removeprefix(HALF)
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
        llm.FunctionCall(call_id=call_id, name=name, arguments=arguments_of(tool)),
        llm.FunctionCallOutput(call_id=call_id, name=name, output=output, is_error=is_error),
    ]
