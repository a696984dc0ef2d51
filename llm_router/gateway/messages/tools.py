"""Reads the tools of a request for a message. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_router.gateway.completions.fields import (
    as_object,
    check_function,
    require_offered,
    text_at,
)
from llm_router.gateway.completions.problems import invalid

_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
"""The choices of chat completions, by those of Anthropic's API."""
_FIELDS = {"name": "name", "description": "description", "input_schema": "parameters",
           "strict": "strict"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools that the model may call, and its choice, in the form of chat completions."""

    offered: Sequence[Mapping[str, Any]] = ()
    choice: str | Mapping[str, Any] | None = None
    parallel: bool | None = None


def read_tools(given: Iterable[Any], choice: Mapping[str, Any] | None) -> Tools:
    """Returns the tools. Raises ChatProblem (400), naming the place of the first fault.

    Only tools that the client runs are served: those that Anthropic's own servers run are not here.
    """
    offered = [_tool(tool, f"tools.{number}") for number, tool in enumerate(given)]
    if not offered:
        return Tools()
    if choice is None:
        return Tools(offered)
    parallel = False if choice.get("disable_parallel_tool_use") is True else None
    return Tools(offered, _choice(choice, offered), parallel)


def _tool(value: Any, place: str) -> Mapping[str, Any]:
    tool = as_object(value, place)
    if tool.get("type") not in (None, "custom"):
        raise invalid(f"{place}.type", "must be custom: no tools are run here")
    check_function(tool, place, "input_schema")
    function = {ours: tool[name] for name, ours in _FIELDS.items() if tool.get(name) is not None}
    return {"type": "function", "function": function}


def _choice(
    choice: Mapping[str, Any], offered: Sequence[Mapping[str, Any]]
) -> str | Mapping[str, Any]:
    kind = choice.get("type")
    if kind == "tool":
        name = text_at(choice, "name", "tool_choice")
        require_offered(name, offered, "tool_choice.name")
        return {"type": "function", "function": {"name": name}}
    if not isinstance(kind, str) or kind not in _CHOICES:
        raise invalid("tool_choice.type", "must be auto, any, tool or none")
    return _CHOICES[kind]
