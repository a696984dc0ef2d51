"""Reads the arguments of a tool call in the forms in which servers write them."""

import ast
import json
import re
from typing import Any

from llm_router.providers._wire.characters import mend

_NOTHING = frozenset({"", "null", "None", "undefined", "[]", '""'})
_FENCE = re.compile(r"```\w*+")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_CALL_KEYS = frozenset({"name", "arguments", "parameters"})
_LITERAL_SIZE = 1 << 16
"""The longest text that is read as Python's."""
_REST = re.compile(r"(?:[\s}\]`;,>]|<[|｜/][^<>]{0,64}>)*")
"""Text that may follow the object: a brace too many, a fence's end, a model's token."""
_BEFORE = re.compile(
    r"(?:\s|json\b|null|None|\"\"|commentary|<think>\s*</think>|<[|｜][^<>]{0,64}>)+(?=\{)"
)
"""Text that may stand before the object: a channel of gpt-oss, nothing at all, an empty thought."""
_STRUCTURE = re.compile(r"[\"'\\{}\[\]()]")
_lenient = json.JSONDecoder(strict=False).raw_decode  # a string may hold line breaks


def object_text(written: str) -> str | None:
    """Returns the JSON text of the object that the arguments are; None if they are none.

    Forgives nothing at all in place of an empty object, an object that is encoded twice, stands in
    a fence of Markdown or a list, follows a channel, is repeated, has a brace too many, or is
    written in Python.
    """
    text = mend(written).strip().lstrip("\ufeff")
    if text in _NOTHING:
        return "{}"
    value = _loads(text)
    if isinstance(value, dict):
        return _without_surrogates(value) if _SURROGATE.search(text) else text
    if isinstance(value, str):
        inner = value.strip()
        value = {} if inner in _NOTHING else _loads(inner) or _repaired(inner)
    elif isinstance(value, list):
        value = value[0] if len(value) == 1 else None
    else:
        value = _repaired(text)
    return _without_surrogates(value) if isinstance(value, dict) else None


def unwrapped(arguments: str, name: str, parameters: tuple[str, ...]) -> str:
    """Returns the arguments without the call that a model has written around them, if any."""
    if not (parameters and ('"arguments"' in arguments or '"parameters"' in arguments)):
        return arguments
    call = json.loads(arguments)
    inner = [call[key] for key in ("arguments", "parameters") if key in call]
    is_call = call.keys() <= _CALL_KEYS and call.get("name", name) == name and len(inner) == 1
    if not is_call or not call.keys().isdisjoint(parameters):
        return arguments
    text = inner[0] if isinstance(inner[0], str) else json.dumps(inner[0])
    return object_text(text) or arguments


class JsonScanner:
    """Tells when a JSON text that arrives in pieces is complete, without parsing it again.

    Knows Python's quotes and brackets, too.
    """

    def __init__(self) -> None:
        self.is_complete = False
        self._depth = 0
        self._quote = ""
        self._escaped = False

    def feed(self, piece: str) -> int:
        """Returns where in the piece the text was first complete; -1: not in it."""
        end, place = -1, 0
        if self._escaped and piece:
            self._escaped, place = False, 1
        while match := _STRUCTURE.search(piece, place):
            place = match.end()
            character = match.group()
            if character == "\\":
                place += bool(self._quote)
                self._escaped = place > len(piece)
            elif self._quote:
                self._quote = "" if character == self._quote else self._quote
            elif character in "\"'":
                self._quote = character
            else:
                self._depth += 1 if character in "{[(" else -1
            self.is_complete = not self._quote and self._depth <= 0
            if self.is_complete and end < 0:
                end = place
        return end


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _repaired(text: str) -> dict[str, Any] | None:
    """Returns the object that a text holds which is no JSON."""
    if fence := _FENCE.match(text):
        text = text[fence.end() :].strip().removesuffix("```").rstrip()
    if before := _BEFORE.match(text):
        text = text[before.end() :]
    objects: list[dict[str, Any]] = []
    place = 0
    while place < len(text):
        try:
            value, place = _lenient(text, place)
        except (ValueError, RecursionError):
            return None if objects else _literal(text)
        if not isinstance(value, dict | None):
            return None
        objects += [value] if value else []
        rest = _REST.match(text, place)
        place = rest.end() if rest else place
    return _same(objects)


def _same(objects: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Returns the object that all of these repeat or complete; None if they contradict."""
    whole = objects[-1] if objects else {}
    return whole if all(one.items() <= whole.items() for one in objects) else None


def _literal(text: str) -> dict[str, Any] | None:
    """Returns a dictionary in Python's writing, as small models write one: `{'x': True}`."""
    if not text.startswith("{") or len(text) > _LITERAL_SIZE:
        return None
    try:
        value = ast.literal_eval(text)
        json.dumps(value)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    return value if isinstance(value, dict) else None


def _without_surrogates(value: dict[str, Any]) -> str:
    """Returns JSON text in which halves of a character are joined, or replaced if alone."""
    text = json.dumps(value)
    return mend(json.dumps(value, ensure_ascii=False)) if _SURROGATE.search(text) else text
