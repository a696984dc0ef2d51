"""Takes out of stored words what may be a payment card's number. No I/O.

A number is found with or without spaces, dashes and dots, and where its digits are spelt out in
English. It must have 13 to 19 digits and a valid check digit (Luhn, ISO/IEC 7812-1). One that a
caller says in two turns is not found.
"""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

CARD = "[card number]"
_LENGTHS = range(13, 20)
_SPELT = {
    "zero": "0", "oh": "0", "o": "0", "one": "1", "two": "2", "three": "3", "four": "4",
    "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
}  # fmt: skip
_DIGIT = rf"(?:\d|\b(?:{'|'.join(_SPELT)})\b)"
_RUN = re.compile(rf"{_DIGIT}(?:[\s,.–-]{{0,3}}{_DIGIT}){{12,}}", re.IGNORECASE | re.ASCII)
_GROUP = re.compile(rf"\d+|{_DIGIT}", re.IGNORECASE | re.ASCII)


def redact(text: str) -> str:
    """Returns the text with `CARD` in place of each number that may be a card's."""
    return _RUN.sub(lambda run: _redact_run(run.group()), text)


def redact_all(value: Any) -> Any:
    """Redacts every text in a JSON value, keys excepted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {name: redact_all(each) for name, each in value.items()}
    if isinstance(value, Sequence):
        return [redact_all(each) for each in value]
    return value


def redact_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Redacts the arguments of a tool: the same ones always give the same result.

    A value that is no text, and holds a number, becomes its redacted text.
    """
    return {name: _redact_value(value) for name, value in arguments.items()}


def redact_tools(calls: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Redacts calls of tools, whose `arguments` stay JSON."""
    return [
        {**redact_all(call), "arguments": _redact_json(call.get("arguments", ""))} for call in calls
    ]


def _redact_json(arguments: Any) -> Any:
    try:
        given = json.loads(arguments)
    except (ValueError, TypeError, RecursionError):
        return redact_all(arguments)
    if not isinstance(given, dict):
        return redact_all(arguments)
    redacted = redact_arguments(given)
    return arguments if redacted == given else json.dumps(redacted, ensure_ascii=False)


def _redact_value(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    text = json.dumps(value, default=str)
    redacted = redact(text)
    return value if redacted == text else redacted


def _redact_run(run: str) -> str:
    """Returns `CARD` for a run of digits that holds a card number, with the digits beside it.

    A number begins and ends where a group of digits does, or any digit that is spelt out.
    """
    groups = [group.group() for group in _GROUP.finditer(run)]
    digits = [int(digit) for group in groups for digit in _SPELT.get(group.lower(), group)]
    ends = list(accumulate(len(_SPELT.get(group.lower(), group)) for group in groups))
    begins = {0, *ends}
    sums = _luhn_sums(digits)
    numbers = ((end - length, end) for end in ends for length in _LENGTHS)
    found = any(begin in begins and _is_card(sums, begin, end) for begin, end in numbers)
    return CARD if found else run


def _luhn_sums(digits: Sequence[int]) -> tuple[list[int], list[int]]:
    """Returns the sums of the digits before each place, with those at even and at odd places
    doubled, so that the check of any part costs one subtraction.
    """
    even, odd = [0], [0]
    for place, digit in enumerate(digits):
        doubled = sum(divmod(digit * 2, 10))
        even.append(even[-1] + (digit if place % 2 else doubled))
        odd.append(odd[-1] + (doubled if place % 2 else digit))
    return even, odd


def _is_card(sums: tuple[list[int], list[int]], begin: int, end: int) -> bool:
    # The digit before the last is doubled, then every other one.
    chosen = sums[end % 2]
    total = chosen[end] - chosen[begin]
    return total > 0 and total % 10 == 0
