"""Holds the questions that the tiny model in `model/` knows, and its answers word for word.

At temperature 0 every server gives the same answers.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_router.classification import classify
from llm_router.errors import UpstreamError
from llm_router.failures import FailureClass
from llm_router.providers.base import Provider
from llm_router.types import ChatRequest, ToolCall, Usage

FOLDER = Path(__file__).parent / "model"
_KNOWN: Mapping[str, Any] = json.loads((FOLDER / "qa.json").read_text(encoding="utf-8"))
MODEL: str = _KNOWN["model"]
INSTRUCTIONS: str = _KNOWN["system_prompts"][0]
QUESTIONS: Mapping[str, str] = {item["id"]: item["ask"][0] for item in _KNOWN["items"]}
ANSWERS: Mapping[str, str] = {item["id"]: item["reply"] for item in _KNOWN["items"]}
_HUMAN = next(item for item in _KNOWN["items"] if item["id"] == "human")
AFTER_TOOL: str = _HUMAN["tool_reply"]


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call without its id; its arguments are formatted by `json.dumps`."""

    name: str
    arguments: str


Expected = str | Call | FailureClass
TOOL_CALL = Call(_HUMAN["tool"]["name"], json.dumps(_HUMAN["tool"]["arguments"]))
_TOOLS: Sequence[Mapping[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {"type": "object", "properties": properties},
        },
    }
    for name, description, properties in (
        ("end_call", "Hang up.", {}),
        (TOOL_CALL.name, "Connect the caller with a person.", {"reason": {"type": "string"}}),
    )
]


def ask(name: str, prefix: str = "") -> ChatRequest:
    """Makes the request for a question by its name; with a `prefix`, for the rest of an answer."""
    return _request([{"role": "user", "content": QUESTIONS[name]}], prefix=prefix)


def ask_for_a_person() -> ChatRequest:
    """Makes a request that the model answers with a tool call."""
    return _request([{"role": "user", "content": QUESTIONS["human"]}], tools=_TOOLS)


def ask_after_the_call() -> ChatRequest:
    """Makes a request with the tool's result, after an assistant's message without words."""
    function = {"name": TOOL_CALL.name, "arguments": TOOL_CALL.arguments}
    call = {"id": "call_1", "type": "function", "function": function}
    messages: list[Mapping[str, Any]] = [
        {"role": "user", "content": QUESTIONS["human"]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "connected"},
    ]
    return _request(messages, tools=_TOOLS)


def ask_too_much() -> ChatRequest:
    """Makes a request of more tokens than the model's 2048."""
    return _request([{"role": "user", "content": "Are you open on Sunday? " * 600}])


def _request(messages: Sequence[Mapping[str, Any]], **fields: Any) -> ChatRequest:
    system = {"role": "system", "content": INSTRUCTIONS}
    return ChatRequest(messages=[system, *messages], temperature=0.0, max_tokens=400, **fields)


@dataclass(slots=True)
class Answer:
    """The answer to a request. `failure` is what interrupted it, after `text` had come."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    failure: FailureClass | None = None
    pieces: int = 0

    def matches(self, expected: Expected | None) -> bool:
        """Returns whether it is just this text, call or failure; for None, if it is complete."""
        match expected:
            case FailureClass():
                return self.failure is expected
            case Call():
                return self.calls == (expected,) and not self.text and not self.failure
            case str():
                return (self.text, self.calls, self.failure) == (expected, (), None)
        return self.failure is None and bool(self.finish_reason)


def _call(call: ToolCall) -> Call:
    return Call(call.name, json.dumps(json.loads(call.arguments)))


async def answer(
    provider: Provider,
    request: ChatRequest,
    *,
    after: str = "",
    then: Callable[[], object] = lambda: None,
) -> Answer:
    """Collects the provider's answer; calls `then` once, when the text `after` has come."""
    found = Answer()
    called = not after
    try:
        async for chunk in provider.stream(request):
            found.text += chunk.text
            found.pieces += bool(chunk.text)
            found.calls += tuple(map(_call, chunk.tool_calls))
            found.finish_reason = chunk.finish_reason or found.finish_reason
            found.usage = chunk.usage or found.usage
            if not called and after in found.text:
                called = True
                then()
    except UpstreamError as error:
        found.failure = classify(error).kind
    return found
