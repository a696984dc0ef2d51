"""Reads the tools of a request for a response. Pure."""

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

_FIELDS = ("name", "description", "parameters", "strict")
_MODES = frozenset({"none", "auto", "required"})


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools that the model may call, and its choice, in the form of chat completions."""

    offered: Sequence[Mapping[str, Any]]
    choice: str | Mapping[str, Any] | None


def read_tools(given: Iterable[Any], choice: str | Mapping[str, Any] | None) -> Tools:
    """Returns the tools. Raises ChatProblem (400), naming the place of the first fault.

    Only functions are served: the tools that OpenAI's own servers run are not here. Beside
    functions they are left out, since coding agents name some in every request.
    """
    places = {f"tools.{n}": as_object(tool, f"tools.{n}") for n, tool in enumerate(given)}
    functions = {place: tool for place, tool in places.items() if is_function(tool)}
    tools = [_tool(tool, place) for place, tool in (functions or places).items()]
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        allowed = {_named(each, "tool_choice.tools") for each in _listed(choice)}
        tools = [tool for tool in tools if tool["function"]["name"] in allowed]
        mode = choice.get("mode", "auto")
        choice = mode if isinstance(mode, str) else ""
    if not tools:
        return Tools((), None)
    if isinstance(choice, str) and choice not in _MODES:
        raise invalid("tool_choice", "must be none, auto, required, or name a function")
    if isinstance(choice, Mapping):
        name = _named(choice, "tool_choice")
        require_offered(name, tools, "tool_choice")
        choice = {"type": "function", "function": {"name": name}}
    return Tools(tools, choice)


def is_function(tool: Mapping[str, Any]) -> bool:
    return bool(tool.get("type") == "function")


def _tool(tool: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    if not is_function(tool):
        raise invalid(f"{place}.type", "must be function: no other tools are served")
    check_function(tool, place)
    function = {name: tool[name] for name in _FIELDS if tool.get(name) is not None}
    return {"type": "function", "function": function}


def _listed(choice: Mapping[str, Any]) -> Sequence[Any]:
    tools = choice.get("tools")
    if not isinstance(tools, list):
        raise invalid("tool_choice.tools", "must be a list")
    return tools


def _named(value: Any, place: str) -> str:
    named = as_object(value, place)
    if named.get("type") != "function":
        raise invalid(f"{place}.type", "must be function")
    return text_at(named, "name", place)
