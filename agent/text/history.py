"""Turns a stored conversation into the messages of a request. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from agent.budget import CallBudget, CallLimits, CallSoFar, Refusal, latest_turns
from agent.survival.remains import arguments_of, language_of
from llm_router.types import Message, ToolCall
from llm_router.voice.calls import LANGUAGE, PAGE_CONTEXT, Call, CallItem
from llm_router.voice.page_context import PageContext

PHRASE = "phrase"
"""Key of a receipt: words at the end of the reply that are the router's own, and no model's."""
BEATS_WITHIN = 3.0
"""Seconds without a sign of life after which the process that writes a reply counts as dead."""
TALKS_WITHIN = 30.0
"""Seconds without one after which no agent is in the room of a conversation any more."""


def is_written(call: Call, now: float) -> bool:
    """Returns whether a process writes a reply; `now` is in seconds since 1970."""
    is_alive = now - call.last_beat.timestamp() < BEATS_WITHIN
    return call.state == "text" and bool(call.job) and bool(call.worker) and is_alive


def is_left(call: Call, now: float) -> bool:
    """Returns whether a reply was begun by a process that is gone, and is to be continued."""
    return call.state == "text" and bool(call.job) and not is_written(call, now)


def is_talking(call: Call, now: float) -> bool:
    """Returns whether the conversation is in a room, with an agent or a person."""
    is_alive = now - call.last_beat.timestamp() < TALKS_WITHIN
    return call.state == "handed_over" or (call.state == "agent" and is_alive)


def refusal_of(
    items: Sequence[CallItem], characters: int, now: float, limits: CallLimits
) -> Refusal | None:
    """Returns the limit that a message of so many characters would exceed; None: none."""
    budget = CallBudget(limits)
    receipts = [item.receipt for item in items]
    spent = {
        "tokens": sum(receipt.get("tokens", 0) for receipt in receipts),
        "cost": sum(receipt.get("cost", 0.0) for receipt in receipts),
    }
    for item in items:
        if item.role == "user":
            budget.turn(0, item.created_at.timestamp())
    budget.resume(CallSoFar(**spent))
    return budget.turn(characters, now)


def own_language(tag: str, languages: Sequence[str]) -> str:
    """Returns the one of an assistant's languages that a page's is; empty: none, or it has one."""
    exact = [own for own in languages if own.lower() == tag.lower()]
    near = [own for own in languages if _primary(own) == _primary(tag)]
    return next(iter([*exact, *near]), "") if len(languages) > 1 else ""


def _primary(tag: str) -> str:
    return tag.lower().split("-")[0]


def language_now(items: Sequence[CallItem], languages: Sequence[str]) -> str:
    """Returns the language of the last words that name theirs, typed or spoken; else the usual."""
    found = language_of(items)
    return found if found in languages else languages[0]


def instructions_of(
    own: str, call: Call, items: Sequence[CallItem], languages: Sequence[str]
) -> str:
    """Returns an assistant's own instructions with the page's account and the visitor's language.

    The language is named once it has been another than the usual one.
    """
    parts = [own]
    if context := call.metadata.get(PAGE_CONTEXT):
        parts.append(PageContext.model_validate(context).for_model())
    if any(item.receipt.get(LANGUAGE, languages[0]) != languages[0] for item in items):
        language = language_now(items, languages)
        parts.append(f"The visitor's language is {language!r} now: answer in that language.")
    return "\n\n".join(parts)


def messages_of(instructions: str, items: Sequence[CallItem], characters: int) -> list[Message]:
    """Returns the instructions and the latest turns, which have at most so many characters.

    A turn is what the visitor says with all that follows. 0 characters: all turns.
    """
    turns: list[list[CallItem]] = [[]]
    for item in items:
        if item.role == "user" and turns[-1]:
            turns.append([])
        turns[-1].append(item)
    latest = latest_turns([(turn, sum(map(_length, turn))) for turn in turns], characters)
    messages: list[Message] = [{"role": "system", "content": instructions}]
    for item in (item for turn in latest for item in turn):
        _add(messages, item)
    return messages


def calling(
    text: str, calls: Sequence[ToolCall], outputs: Sequence[Mapping[str, Any]], extras: Any = None
) -> Sequence[Message]:
    """Returns the messages of a reply that has called tools, and of what these have answered."""
    asked = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
            **({"extras": call.extras} if call.extras else {}),
        }
        for call in calls
    ]
    said: dict[str, Any] = {"role": "assistant", "content": text or None, "tool_calls": asked}
    if extras:
        said["extras"] = extras
    answers = [
        {"role": "tool", "tool_call_id": each["call_id"], "content": each["output"]}
        for each in outputs
    ]
    return [said, *answers]


def _add(messages: list[Message], item: CallItem) -> None:
    if item.role != "tool":
        if text := _own_words(item):
            messages.append({"role": item.role, "content": text})
        return
    calls = [
        ToolCall(str(each.get("call_id", "")), str(each.get("name", "")), arguments_of(each))
        for each in item.tool_calls
    ]
    outputs = [{"call_id": "", "output": "", **each} for each in item.tool_calls]
    text = ""
    if messages[-1]["role"] == "assistant" and "tool_calls" not in messages[-1]:
        text = str(messages.pop()["content"])
    messages += calling(text, calls, outputs)


def _own_words(item: CallItem) -> str:
    """Returns a text without the router's own phrase at its end: no model has said that."""
    phrase = item.receipt.get(PHRASE)
    return item.text.removesuffix(phrase).rstrip(" …") if phrase else item.text


def _length(item: CallItem) -> int:
    tools = sum(len(arguments_of(t)) + len(str(t.get("output", ""))) for t in item.tool_calls)
    return len(item.text) + tools
