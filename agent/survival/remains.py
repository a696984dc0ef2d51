"""Finds the parts of a conversation that a dead process left without storing them. Pure."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from agent.staff import TRANSFER_TOOL
from agent.survival.outcomes import CUT, NOTHING_DONE, UNKNOWN
from llm_router.voice.calls import LANGUAGE, Call, CallItem

HALF = "voiced-"
"""Beginning of the id of an item that holds half a reply, cut off by its agent's death."""


def left_items(
    half: str, lost: Sequence[Mapping[str, Any]], epoch: int, now: datetime
) -> Sequence[CallItem]:
    """Returns the items of half a reply and of lost tools, for the agent of this epoch to store."""
    items: list[CallItem] = []
    if half := half.strip():
        items.append(
            CallItem(
                id=half_item_id(epoch),
                role="assistant",
                text=half,
                interrupted_at=len(half.split()),
                epoch=epoch - 1,
                created_at=now,
            )
        )
    if lost:
        identity = f"lost-{epoch}"
        items.append(
            CallItem(id=identity, role="tool", tool_calls=lost, epoch=epoch - 1, created_at=now)
        )
    return items


def language_of(items: Sequence[CallItem]) -> str:
    """Returns the language of the last words that name theirs; empty: none do."""
    named = [language for item in items if (language := item.receipt.get(LANGUAGE))]
    return named[-1] if named else ""


def half_item_id(epoch: int) -> str:
    """Returns the id of the item that holds the half reply of the agent before this epoch's."""
    return f"{HALF}{epoch}"


def lost_tools(call: Call, items: Sequence[CallItem]) -> Sequence[Mapping[str, Any]]:
    """Returns the tools that ran when the agent died, with that as their outcome."""
    # A run that was refused tells nothing of a later one, which may have the same id.
    known = [
        _identity(tool)
        for item in items
        for tool in item.tool_calls
        if not str(tool.get("output", "")).endswith(NOTHING_DONE)
    ]
    lost = [tool for tool in call.tools_in_flight if _identity(tool) not in known]
    return [{**tool, "output": _outcome(tool), "is_error": True} for tool in lost]


def _outcome(tool: Mapping[str, Any]) -> str:
    return CUT if tool.get("name") == TRANSFER_TOOL else UNKNOWN


def _identity(tool: Mapping[str, Any]) -> Sequence[Any]:
    """Returns what tells a call of a tool from others; some servers use an id again."""
    return [tool.get("call_id"), tool.get("name"), arguments_of(tool)]


def arguments_of(tool: Mapping[str, Any]) -> str:
    given = tool.get("arguments", "{}")
    return given if isinstance(given, str) else json.dumps(given)
