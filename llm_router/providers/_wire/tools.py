"""Knows the tools that a request offers, and which of them a server means by what it writes."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from llm_router.types import ChatRequest

_MACHINE_TEXT = re.compile(r"\s*<[|｜/].*", re.DOTALL)
"""The rest of a channel behind the name (gpt-oss): `lookup<|channel|>commentary`."""
_NAMESPACE = re.compile(r"^(?:to=)?(?:functions?|tools?|default_api|call)[.:/]", re.IGNORECASE)
_NUMBER = re.compile(r":\d+$")
"""The number of the call that Kimi writes behind the name: `functions.lookup:0`."""
_AROUND = " \t\r\n\"'`*()"
_NO_LETTER = re.compile(r"[\W_]+")


class OfferedTools:
    """The names of the tools that a request offers, and the types of their parameters."""

    def __init__(self, tools: Sequence[Mapping[str, Any]] = ()) -> None:
        functions = [function for tool in tools if (function := _function(tool))]
        self._properties = {str(one["name"]): _properties(one) for one in functions}
        self.names = tuple(self._properties)
        self._by_letters: dict[str, str | None] = {}
        for name in self.names:
            letters = _letters(name)
            self._by_letters[letters] = None if letters in self._by_letters else name

    def __bool__(self) -> bool:
        return bool(self.names)

    def resolve(self, written: str) -> str | None:
        """Returns the name of the tool that is clearly meant; None if none was offered by it.

        Forgives white space, quotes, a namespace, a channel or number behind the name, another
        spelling of the same letters (`getWeather`), and a name that is written twice.
        """
        if written in self._properties:
            return written
        name = _MACHINE_TEXT.sub("", written).strip(_AROUND)
        name = _NUMBER.sub("", _NAMESPACE.sub("", name))
        if name not in self._properties:
            period = (name + name).find(name, 1)
            name = self._by_letters.get(_letters(name)) or name[: max(period, 0)]
        return name if name in self._properties else None

    def begins(self, written: str) -> bool:
        """Returns whether a name begins with this text, so that more of it may follow."""
        name = _NAMESPACE.sub("", written.lstrip())
        return any(offered.startswith(name) for offered in self.names)

    def parameters(self, name: str) -> tuple[str, ...]:
        """Returns the names of a tool's parameters, in the order of its schema."""
        return tuple(self._properties.get(name, ()))

    @property
    def all_parameters(self) -> tuple[str, ...]:
        """The names of all tools' parameters."""
        return tuple(dict.fromkeys(name for one in self._properties.values() for name in one))

    def type_of(self, name: str, parameter: str) -> object:
        """Returns the JSON type of a parameter; None if the tool does not state one."""
        schema = self._properties.get(name, {}).get(parameter)
        return schema.get("type") if isinstance(schema, Mapping) else None


def offered_tools(request: ChatRequest) -> OfferedTools:
    """Returns the tools that the model may call: none if the request's `tool_choice` says so."""
    return OfferedTools(() if request.tool_choice == "none" else request.tools)


def _function(tool: Mapping[str, Any]) -> Mapping[str, Any] | None:
    function = tool.get("function", tool)
    return function if isinstance(function, Mapping) and function.get("name") else None


def _properties(function: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = function.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}


def _letters(name: str) -> str:
    return _NO_LETTER.sub("", name).casefold()
