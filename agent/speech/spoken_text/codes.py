"""Says phone numbers and codes digit by digit, as people dictate them."""

import itertools
import re

from agent.speech.spoken_text.words import Words

_PHONE = re.compile(
    r"(?<![\w.,$€£#/-])\+?(?:\d{1,4}[ .-]?)?(?:\(\d{1,5}\)[ .-]?)?"
    r"\d{1,4}(?:[ .\u00a0\u202f-]\d{2,8}){1,6}(?![\w-]|[.,:/]\d)"
)
_LONG_NUMBER = re.compile(r"(?<![\w.,$€£-])\+?\d{7,15}(?![\w-]|[.,:/]\d)")
_SERIAL = re.compile(r"(?<![\w#])#(\d{4,15})(?![\w-]|[.,:/]\d)")
_LEADING_ZERO = re.compile(
    r"(?<![\w.,:/$€£-])(?<!\d[ \u00a0\u202f])0\d{2,9}(?![\w-]|[.,:/ \u00a0\u202f]\d)"
)
_DOTTED = re.compile(
    r"(?<![\w.,-])(?P<v>[vV]?)(?P<numbers>\d{1,5}(?:\.\d{1,5}){2,4})(?![\w-]|[.,:]\d)"
)
"""A version or an address of a machine."""
_THOUSANDS = re.compile(r"\d{1,3}(?:\.\d{3})+")
_CODE = re.compile(
    r"(?<![\w-])(?=[\d-]{0,20}[A-Z])(?=[A-Z-]{0,20}\d)[A-Z\d]{1,16}(?:-[A-Z\d]{1,16}){0,4}(?![\w-])"
)
_FEW, _MANY = 7, 15
"""Digits that a phone number has at least and at most (E.164)."""
_NATIONAL = 10
"""Digits of a phone number with its area code, which rarely are an amount."""
_RUN = 3
"""Digits from which on a number in a code is said digit by digit."""
_WORD = 4
"""Letters from which on a part of a code is a word: COVID-19."""
_SHORT = 5
"""Signs from which on a code is more than a name such as MP3 or A4."""


def say_codes(text: str, words: Words) -> str:
    def say_phone(match: re.Match[str]) -> str:
        written = match[0]
        groups = re.findall(r"\d+", written)
        if not _is_phone(written, groups):
            return written
        plus = "+" if written.startswith("+") else ""
        return plus + ", ".join(_digits(group, pairs=words.pairs) for group in groups)

    def say_long(match: re.Match[str]) -> str:
        if match[0].endswith("000") and len(match[0]) < _NATIONAL:  # 2000000 people
            return match[0]
        return ("+" if match[0].startswith("+") else "") + _by_threes(match[0].lstrip("+"))

    text = _PHONE.sub(say_phone, text)
    text = _LONG_NUMBER.sub(say_long, text)

    def say_dotted(match: re.Match[str]) -> str:
        if _THOUSANDS.fullmatch(match["numbers"]):
            return match[0]
        version = f"{match['v']} " if match["v"] else ""
        return version + match["numbers"].replace(".", f" {words.address['.']} ")

    text = _DOTTED.sub(say_dotted, text)
    text = _LEADING_ZERO.sub(lambda match: _by_threes(match[0]), text)
    text = _SERIAL.sub(lambda match: f"{words.number} {_by_threes(match[1])}", text)
    return _CODE.sub(_say_code, text)


def _by_threes(digits: str) -> str:
    return ", ".join(" ".join(digits[at : at + 3]) for at in range(0, len(digits), 3))


def _is_phone(written: str, groups: list[str]) -> bool:
    lengths = [len(group) for group in groups]
    if not _FEW <= sum(lengths) <= _MANY + 4:
        return False
    if written.startswith("+") or "(" in written or (groups[0][0] == "0" and len(groups) > 1):
        return True
    if lengths in ([3, 3, 4], [1, 3, 3, 4], [4, 4, 4, 4], [3, 2, 2, 2]):
        return True
    is_range = int(groups[1]) % 50 == 0 and int(groups[1]) > int(groups[0])
    return lengths == [3, 4] and "-" in written and not is_range


def _digits(group: str, *, pairs: bool) -> str:
    if pairs and len(group) == len("00"):
        return group
    parts = [group[at : at + 4] for at in range(0, len(group), 4)]
    return ", ".join(" ".join(part) for part in parts)


def _say_code(match: re.Match[str]) -> str:
    written = match[0]
    runs = re.findall(r"[A-Z]+|\d+", written)
    is_amount = len(runs) == 2 and runs[0].isdigit() and "-" not in written  # noqa: PLR2004  16GB
    if len(written.replace("-", "")) < _SHORT or is_amount:
        return written
    said = runs[0] if len(runs[0]) >= _WORD else "-".join(runs[0])
    if runs[0].isdigit():
        said = _run_of_digits(runs[0])
    for before, run in itertools.pairwise(runs):
        part = _run_of_digits(run) if run.isdigit() else run
        if run.isalpha() and len(run) < _WORD:
            part = "-".join(run)
        said += (" " if before.isalpha() and len(before) >= _WORD else ", ") + part
    return said


def _run_of_digits(run: str) -> str:
    if len(run) < _RUN and not run.startswith("0"):
        return run
    return " ".join(run)
