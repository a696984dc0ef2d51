"""Plays a model that does what it is asked: it calls tools and fills in schemas.

Suites for chat models judge a client by the replies of a model that obeys. This one obeys by rules:
it takes its arguments from the question, so that every reply can be foreseen.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from llm_router.testing.server import FaultyServer, Script
from llm_router.types import ToolCall

_QUOTED = re.compile("['\"‘“](.+?)['\"’”]")
_NUMBER = re.compile(r"-?\d+")


class ObedientServer(FaultyServer):
    """A model server that answers with words, with the tool that fits, or with what a schema asks.

    `calls`: how many calls a reply has where the client allows several at a time.
    """

    def __init__(self, model: str = FaultyServer.model, *, calls: int = 1) -> None:
        super().__init__(self._obey)
        self.model = model
        self._calls = calls

    def _obey(self, number: int) -> Script:
        body = self.requests[number].body
        tool = chosen_tool(body)
        if tool is None:
            return _words(body)
        several = body.get("parallel_tool_calls", True)
        arguments = json.dumps(filled(tool.get("parameters") or {}, _question(body)))
        return Script(
            words=(),
            tool_calls=[
                ToolCall(f"call_{number}_{index}", tool["name"], arguments)
                for index in range(self._calls if several else 1)
            ],
        )


def chosen_tool(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Returns the tool that the request is to be answered with, if one is.

    The one that `tool_choice` names, else the one that the question names, else the first; none
    after the result of a tool.
    """
    tools: list[Mapping[str, Any]] = [tool["function"] for tool in body.get("tools", ())]
    choice = body.get("tool_choice")
    is_result = body["messages"][-1]["role"] == "tool"
    if not tools or choice == "none" or (is_result and choice in {None, "auto"}):
        return None
    named = choice["function"]["name"] if isinstance(choice, Mapping) else None
    asked = _question(body)
    fits = [t for t in tools if t["name"] == named] or [t for t in tools if t["name"] in asked]
    return max(fits or tools[:1], key=lambda tool: len(tool["name"]))


def filled(schema: Mapping[str, Any], question: str) -> Any:
    """Returns a value that the schema allows, with numbers and quoted texts of the question."""
    definitions = schema.get("$defs", {})
    if (reference := schema.get("$ref")) is not None:
        return filled({"$defs": definitions, **definitions[reference.split("/")[-1]]}, question)
    for variants in (schema.get("anyOf"), schema.get("allOf")):
        if variants:
            return filled({"$defs": definitions, **variants[0]}, question)
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "integer" | "number":
            found = _NUMBER.search(question)
            return int(found[0]) if found else 1
        case "boolean":
            return True
        case "array":
            return [filled({"$defs": definitions, **schema.get("items", {})}, question)]
        case "object":
            return {
                name: filled({"$defs": definitions, **value}, question)
                for name, value in schema.get("properties", {}).items()
            }
    found = _QUOTED.search(question)
    return found[1] if found else "Paris"


def _words(body: Mapping[str, Any]) -> Script:
    form = body.get("response_format") or {}
    question = _question(body)
    if form.get("type") == "json_schema":
        return Script(words=_pieces(json.dumps(filled(form["json_schema"]["schema"], question))))
    if form.get("type") == "json_object":
        names: Sequence[str] = _QUOTED.findall(question) or ["answer"]
        return Script(words=_pieces(json.dumps(dict.fromkeys(names, "Because."))))
    return Script()


def _pieces(text: str) -> list[str]:
    return [text[at : at + 5] for at in range(0, len(text), 5)]


def _question(body: Mapping[str, Any]) -> str:
    """Returns the text of the last message of the user's."""
    said = [m.get("content") for m in body["messages"] if m["role"] == "user"]
    last = said[-1] if said else ""
    if isinstance(last, str):
        return last
    return " ".join(part.get("text", "") for part in last or ())
