"""Reads JSON objects that follow each other in one text, as some servers and models write them."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from llm_router.errors import BrokenStreamError
from llm_router.providers._wire import limits

DONE = "[DONE]"
"""The mark that ends a stream of chat completions; it is no JSON."""
_decode = json.JSONDecoder(strict=False).raw_decode
"""Decodes like `json.loads`, without its search for white space, a quarter of its time; accepts
control characters in strings, which some servers do not escape."""
_MARKS = "\"\\{}[],'"
_BETWEEN = re.compile(r"(?:[\s,\0\ufeff]|data:|\\[rn])*")


def read_objects(text: str) -> Iterable[Any]:
    """Returns the JSON values of a text, one after the other; `DONE` stands for itself.

    Between them there may be white space, also escaped, commas, and the prefix of a server-sent
    event. Raises
    BrokenStreamError, when it comes to it, at a place that is no JSON, and at once for a text that
    would take long to parse.
    """
    if _is_laborious(text):
        raise BrokenStreamError(f"an event has more than {limits.STRUCTURE:,} marks of JSON")
    try:
        value, end = _decode(text)
        if end == len(text):
            return (value,)
    except (ValueError, RecursionError):
        pass
    return _read_objects(text)


def _read_objects(text: str) -> Iterator[Any]:
    place = _skip(text, 0)
    while place < len(text):
        if text.startswith(DONE, place):
            yield DONE
            place += len(DONE)
        else:
            try:
                value, place = _decode(text, place)
            except (ValueError, RecursionError) as error:
                raise BrokenStreamError("the answer holds an event that is not JSON") from error
            yield value
        place = _skip(text, place)


def is_object(text: str) -> bool:
    """Returns whether the text is one whole JSON object; False if that would take long to say."""
    if _is_laborious(text):
        return False
    try:
        value, end = _decode(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and end == len(text)


def _is_laborious(text: str) -> bool:
    """Returns whether a text has so many values that parsing it would hold up other calls."""
    return len(text) > limits.STRUCTURE and sum(map(text.count, _MARKS)) > limits.STRUCTURE


def _skip(text: str, place: int) -> int:
    match = _BETWEEN.match(text, place)
    return match.end() if match else place
