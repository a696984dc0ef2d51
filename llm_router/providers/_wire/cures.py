"""Lists the changes that make a refused request acceptable, and makes them.

A cure is data: its kind names a function in `_KINDS`, whose place there is the order in which
several cures are made, whatever order they were found in. A cure that finds nothing to change
leaves the body as it is.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from llm_router.providers._wire import message_order as order
from llm_router.providers.base import ASK_TO_GO_ON

Body = dict[str, Any]

_UNSIGNED = {"google": {"thought_signature": "skip_thought_signature_validator"}}
"""Replaces the signature of a call that another model made
(ai.google.dev/gemini-api/docs/thought-signatures)."""
_NO_REASONING = "."
_CONTINUING = ("continue_final_message", "add_generation_prompt", "continue_")


class Cure(NamedTuple):
    """One change to a request: of a field, to a value, where its kind needs them."""

    kind: str
    field: str = ""
    value: Any = None
    beside: str = ""
    """The field of the requests that are changed; empty: all are."""
    without: str = ""
    """A field of the requests that are not changed."""
    of: float | str = ""
    """The value of `field` in the requests that are changed: this number or a greater one, or the
    value that has this fingerprint; empty: any."""

    def __str__(self) -> str:
        value = " or ".join(self.value) if isinstance(self.value, tuple) else self.value
        text = _TEXTS[self.kind].format(field=self.field, value=value)
        if self.of:
            text += f", where {self.field} is " + (
                "as it was refused" if isinstance(self.of, str) else f"{self.of} or more"
            )
        beside = f", in requests with {self.beside}" if self.beside else ""
        return text + beside + (f", in requests without {self.without}" if self.without else "")

    def concerns(self, body: Body) -> bool:
        is_beside = not self.beside or body.get(self.beside) not in (None, [], ())
        return is_beside and not (self.without and body.get(self.without)) and self._is_of(body)

    def _is_of(self, body: Body) -> bool:
        if not self.of:
            return True
        value = value_of(body, self.field)
        if isinstance(self.of, str):
            return fingerprint(value) == self.of
        return isinstance(value, int | float) and value >= self.of


def value_of(body: Body, field: str) -> Any:
    options = body.get("options")  # of Ollama
    inner = options.get(field) if isinstance(options, Mapping) else None
    return body.get(field, inner)


def fingerprint(value: Any) -> str:
    """Returns what tells a value from others, without its words."""
    return sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def apply(cures: Iterable[Cure], body: Body) -> Body:
    """Returns a body with the changes made; `body` and what it holds stay unchanged."""
    for cure in sorted(cures, key=lambda cure: _ORDER[cure.kind]):
        if cure.concerns(body):
            body = _KINDS[cure.kind](body, cure)
    return body


def _drop(body: Body, cure: Cure) -> Body:
    options = body.get("options")  # of Ollama
    if isinstance(options, Mapping) and cure.field in options:
        return {**body, "options": {n: v for n, v in options.items() if n != cure.field}}
    fields = {cure.field}
    if cure.field == "tool_choice" and body.get("tool_choice") == "none":
        fields |= {"tools", "parallel_tool_calls"}  # else the model may call some
    return {name: value for name, value in body.items() if name not in fields}


def _drop_in_messages(body: Body, cure: Cure) -> Body:
    def bare(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [_drop(item, cure) if isinstance(item, dict) else item for item in value]

    messages = [
        {name: bare(value) for name, value in _drop(message, cure).items()}
        for message in body["messages"]
    ]
    return {**body, "messages": messages}


def _drop_in_schemas(body: Body, cure: Cure) -> Body:
    places = [name for name in ("tools", "response_format") if name in body]
    return {**body, **{name: _without(body[name], cure.field) for name in places}}


def _no_empty_schemas(body: Body, _: Cure) -> Body:
    def bare(tool: Mapping[str, Any]) -> Mapping[str, Any]:
        function = tool.get("function")
        parameters = function.get("parameters") if isinstance(function, Mapping) else None
        if not isinstance(parameters, Mapping) or parameters.get("properties"):
            return tool
        rest = {name: value for name, value in tool["function"].items() if name != "parameters"}
        return {**tool, "function": rest}

    return {**body, "tools": [bare(tool) for tool in body["tools"]]} if "tools" in body else body


def _without(value: Any, field: str, *, names: bool = False) -> Any:
    """Returns a copy without the field, at any depth; `names`: its keys are names of a schema."""
    if isinstance(value, list | tuple):
        return [_without(item, field) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        name: _without(inner, field, names=name in {"properties", "$defs"} and not names)
        for name, inner in value.items()
        if names or name != field
    }


def _rename(body: Body, cure: Cure) -> Body:
    if cure.field not in body:
        return body
    rest = {name: value for name, value in body.items() if name != cure.field}
    return {cure.value: body[cure.field], **rest}


def _one_of(body: Body, cure: Cure) -> Body:
    """Leaves the values that the server takes as they are; the first replaces others."""
    is_refused = body.get(cure.field, cure.value[0]) not in cure.value
    return {**body, cure.field: cure.value[0]} if is_refused else body


def _set(body: Body, cure: Cure) -> Body:
    return {**body, cure.field: cure.value}


def _at_most(body: Body, cure: Cure) -> Body:
    given = body.get(cure.field)
    return {**body, cure.field: min(given, cure.value)} if isinstance(given, int | float) else body


def _at_least(body: Body, cure: Cure) -> Body:
    given = body.get(cure.field)
    return {**body, cure.field: max(given, cure.value)} if isinstance(given, int | float) else body


def _json_object(body: Body, _: Cure) -> Body:
    given = body.get("response_format")
    if not isinstance(given, Mapping) or given.get("type") != "json_schema":
        return body
    changed = {**body, "response_format": {"type": "json_object"}}
    changed["messages"] = order.with_system_note(body["messages"], order.json_note(given))
    return changed


def _json_in_words(body: Body, _: Cure) -> Body:
    given = body.get("response_format")
    if not isinstance(given, Mapping):
        return body
    rest = {name: value for name, value in body.items() if name != "response_format"}
    asks = "json_schema" in given or given.get("type") == "json_object"
    note = order.json_note(given)
    return {**rest, "messages": order.with_system_note(body["messages"], note)} if asks else rest


def _say_json(body: Body, _: Cure) -> Body:
    given = body.get("response_format")
    if not isinstance(given, Mapping) or given.get("type") != "json_object":
        return body
    note = order.json_note({})
    return {**body, "messages": order.with_system_note(body["messages"], note)}


def _all_at_once(body: Body, _: Cure) -> Body:
    rest = {name: value for name, value in body.items() if name != "stream_options"}
    return {**rest, "stream": False}


def _sign(body: Body, _: Cure) -> Body:
    def signed(call: Mapping[str, Any]) -> Mapping[str, Any]:
        return call if call.get("extra_content") else {**call, "extra_content": _UNSIGNED}

    return _with_calls(body, lambda m: {**m, "tool_calls": [signed(c) for c in m["tool_calls"]]})


def _reasoning(body: Body, _: Cure) -> Body:
    return _with_calls(
        body,
        lambda m: m if m.get("reasoning_content") else {**m, "reasoning_content": _NO_REASONING},
    )


def _with_calls(body: Body, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Body:
    messages = [change(m) if m.get("tool_calls") else m for m in body["messages"]]
    return {**body, "messages": messages}


def _developer(body: Body, _: Cure) -> Body:
    messages = [
        {**message, "role": "developer"} if message["role"] == "system" else message
        for message in body["messages"]
    ]
    return {**body, "messages": messages}


def _continue_in_words(body: Body, _: Cure) -> Body:
    """Asks in words to continue the assistant's last message."""
    rest = {name: value for name, value in body.items() if name not in _CONTINUING}
    return {**rest, "messages": order.user_last(body["messages"], ASK_TO_GO_ON)}


def _on_messages(change: Callable[[order.Messages], order.Messages]) -> Callable[..., Body]:
    return lambda body, _: {**body, "messages": change(body["messages"])}


_KINDS: dict[str, Callable[[Body, Cure], Body]] = {
    "rename": _rename,
    "at most": _at_most,
    "at least": _at_least,
    "one of": _one_of,
    "drop in schemas": _drop_in_schemas,
    "no empty schemas": _no_empty_schemas,
    "json object": _json_object,
    "json in words": _json_in_words,
    "say json": _say_json,
    "all at once": _all_at_once,
    "drop": _drop,
    "set": _set,
    "continue in words": _continue_in_words,
    "pair tools": _on_messages(order.paired_tools),
    "tools in words": _on_messages(order.tools_in_words),
    "plain texts": _on_messages(order.plain_texts),
    "no pictures": _on_messages(order.without_pictures),
    "no nulls": _on_messages(order.without_nulls),
    "no empties": _on_messages(order.without_empties),
    "system in user": _on_messages(order.system_in_user),
    "system first": _on_messages(order.system_first),
    "alternate": _on_messages(order.alternating),
    "user last": _on_messages(order.user_last),
    "developer": _developer,
    "short ids": _on_messages(order.short_call_ids),
    "sign": _sign,
    "reasoning": _reasoning,
    "drop in messages": _drop_in_messages,
}
_ORDER = {kind: place for place, kind in enumerate(_KINDS)}
_TEXTS = {
    "rename": "{field} is sent as {value}",
    "at most": "{field} is {value} at most",
    "at least": "{field} is {value} at least",
    "one of": "{field} is {value}",
    "set": "{field} is {value}",
    "json object": "a JSON schema is asked for in words, with response_format json_object",
    "json in words": "JSON is asked for in words, without response_format",
    "say json": "a request for JSON says so in words, too",
    "all at once": "replies come all at once, not as a stream",
    "drop": "{field} is left out",
    "drop in schemas": "{field} is left out of tools and schemas",
    "no empty schemas": "a tool without parameters has no schema of them",
    "drop in messages": "{field} is left out of messages",
    "continue in words": "a reply is continued by asking in words",
    "user last": "a history ends with a message of the user",
    "pair tools": "calls without a result, and results without a call, are left out",
    "tools in words": "calls of tools and their results are told in words",
    "plain texts": "the content of a message without pictures is one text",
    "no pictures": "a note stands for each picture",
    "no nulls": "a message without content has an empty one",
    "no empties": "messages without words are left out",
    "system in user": "system messages are part of the user's first message",
    "system first": "one system message comes first; later ones are the user's",
    "alternate": "user and assistant take turns, the user first",
    "developer": "system messages have the role developer",
    "short ids": "ids of tool calls have nine letters and digits",
    "sign": "calls of other models have a substitute for a signature",
    "reasoning": "calls of other models have a substitute for their reasoning",
}
