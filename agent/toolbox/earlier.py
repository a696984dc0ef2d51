"""Finds in a conversation the runs of tools that are not to be repeated."""

from collections.abc import Mapping
from typing import Any

from livekit.agents import llm
from livekit.agents.llm.utils import parse_function_arguments

from agent.survival.black_box import TOO_LONG
from agent.toolbox.effects import Effects
from agent.toolbox.recall import recall_run


def recall_runs(effects: Effects, context: llm.ChatContext) -> None:
    """Records the runs that earlier agents of the call have done or begun."""
    calls: dict[str, llm.FunctionCall] = {}  # some servers use an id again in a later turn
    for item in context.items:
        if isinstance(item, llm.FunctionCall):
            calls[item.call_id] = item
        if not isinstance(item, llm.FunctionCallOutput) or item.call_id not in calls:
            continue
        call = calls[item.call_id]
        arguments = _arguments(call)
        recall_run(effects, call.name, arguments, item.output, is_error=item.is_error)


def _arguments(call: llm.FunctionCall) -> Mapping[str, Any] | None:
    """Returns the arguments as LiveKit reads them; None: they are not known."""
    if call.arguments == TOO_LONG:
        return None
    try:
        return parse_function_arguments(call.arguments or "{}")
    except ValueError:
        return None
