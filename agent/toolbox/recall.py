"""Records the runs of tools that a conversation holds already, so that none is repeated."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agent.survival.outcomes import NOTHING_DONE, UNKNOWN
from agent.survival.remains import arguments_of
from agent.toolbox.effects import Effects
from llm_router.voice.calls import CallItem


def recall_items(effects: Effects, items: Sequence[CallItem]) -> None:
    """Records the runs in stored items, see `recall_run`."""
    for tool in (tool for item in items for tool in item.tool_calls):
        output, is_error = str(tool.get("output", "")), bool(tool.get("is_error"))
        try:
            arguments = json.loads(arguments_of(tool))
        except ValueError:
            arguments = None
        known = arguments if isinstance(arguments, Mapping) else None
        recall_run(effects, str(tool.get("name", "")), known, output, is_error=is_error)


def recall_run(
    effects: Effects,
    name: str,
    arguments: Mapping[str, Any] | None,
    output: str,
    *,
    is_error: bool,
) -> None:
    """Records a run that an earlier agent has done or begun; `arguments` None: they are unknown.

    One that failed counts, unless its output says that nothing was done, or it had arguments that
    cannot be read: with those it has not begun.
    """
    if output.endswith(NOTHING_DONE):
        return
    if arguments is None and is_error and output != UNKNOWN:
        return
    effects.recall(name, arguments, None if is_error else output)
