"""Solves simple sums, spoken or written: "what is twelve times seven", "7 + 5"."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

from llm_router.providers.offline.words import fold, words

_Value = TypeVar("_Value")
_Phrase = tuple[str, ...]

_HUNDRED, _THOUSAND = 100, 1000
_LIMIT = 10**15
_LONGEST_PHRASE = 3  # words
# A dash or slash without spaces belongs to a date, a phone number or "24/7", not to a sum.
_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|[+*×÷]|(?<=\s)[-/](?=\s)")
_SYMBOLS: dict[_Phrase, str] = {
    ("+",): "+",
    ("-",): "-",
    ("*",): "*",
    ("×",): "*",
    ("x",): "*",
    ("/",): "/",
    ("÷",): "/",
}
_HYPHEN = re.compile(r"(?<=[^\W\d_])-(?=[^\W\d_])")


@dataclass(frozen=True, slots=True)
class Sum:
    """A solved sum; `spoken` is the sum in words, `result` is None for a division by zero."""

    spoken: str
    result: str | None
    exact: bool


class SumParser:
    """Parses the numbers and signs of one language, built from its `sums` table."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._spoken_signs = {sign: spoken[0] for sign, spoken in table["signs"].items()}
        self._signs = dict(_SYMBOLS)
        for sign, spoken in table["signs"].items():
            self._signs |= {tuple(words(phrase)): sign for phrase in spoken}
        self._numbers: dict[_Phrase, int] = {
            tuple(words(phrase)): value for phrase, value in table["numbers"].items()
        }
        self._fillers = frozenset(words(" ".join(table["fillers"])))
        self._point: str = table["point"]

    def solve(self, text: str) -> Sum | None:
        """Returns the first sum in `text`, or None if it has none or a number is too big to say."""
        tokens = _TOKEN.findall(_HYPHEN.sub(" ", fold(text)))
        start = 0
        while start < len(tokens):
            numbers, signs, end = self._expression(tokens, start)
            if signs:
                return self._solve(numbers, signs)
            start = max(end, start + 1)
        return None

    def _expression(self, tokens: list[str], start: int) -> tuple[list[Fraction], list[str], int]:
        """Parses number, sign, number, ...; returns numbers, signs and the index after them."""
        first = self._number(tokens, start)
        if first is None:
            return [], [], start
        numbers, signs, end = [first[0]], list[str](), first[1]
        while sign := _longest(self._signs, tokens, end):
            following = self._number(tokens, sign[1])
            if following is None:
                break
            signs.append(sign[0])
            numbers.append(following[0])
            end = following[1]
        return numbers, signs, end

    def _number(self, tokens: list[str], start: int) -> tuple[Fraction, int] | None:
        """Parses a number in digits or words ("three hundred and five"), and the index after it."""
        if start < len(tokens) and tokens[start][0].isdigit():
            return self._digits(tokens[start]), start + 1
        done, current, end = 0, 0, start
        for value, after in self._number_words(tokens, start):
            if value >= _THOUSAND and current < value:
                done, current = done + (current or 1) * value, 0
            elif value == _HUNDRED and 0 <= current < _HUNDRED:
                current = (current or 1) * _HUNDRED
            elif end == start or _extends(done, current, value):
                current += value
            else:
                break
            end = after
        return (Fraction(done + current), end) if end > start else None

    def _number_words(self, tokens: list[str], start: int) -> Iterator[tuple[int, int]]:
        at = start
        while at < len(tokens):
            if match := _longest(self._numbers, tokens, at) or self._compound(tokens, at):
                at = match[1]
                yield match
            elif at > start and tokens[at] in self._fillers:
                at += 1
            else:
                return

    def _compound(self, tokens: list[str], at: int) -> tuple[int, int] | None:
        """Parses one word for units and tens, as in German: "siebenundzwanzig"."""
        for filler in self._fillers:
            units, separator, tens = tokens[at].partition(filler)
            if separator and (units,) in self._numbers and (tens,) in self._numbers:
                return self._numbers[(tens,)] + self._numbers[(units,)], at + 1
        return None

    def _digits(self, token: str) -> Fraction:
        thousands = "," if self._point == "." else "."
        whole, _, part = token.replace(thousands, "").partition(self._point)
        return Fraction(f"{whole}.{part.replace(self._point, '')}" if part else whole)

    def _solve(self, numbers: list[Fraction], signs: list[str]) -> Sum | None:
        spoken = self._format(numbers[0])[0]
        for sign, number in zip(signs, numbers[1:], strict=True):
            spoken += f" {self._spoken_signs[sign]} {self._format(number)[0]}"
        try:
            result = _evaluate(numbers, signs)
        except ZeroDivisionError:
            return Sum(spoken, None, exact=True)
        if max(abs(n) for n in (*numbers, result)) >= _LIMIT:
            return None
        formatted, exact = self._format(result)
        return Sum(spoken, formatted, exact)

    def _format(self, number: Fraction) -> tuple[str, bool]:
        """Returns the number with at most three decimals, and whether that is exact."""
        rounded = round(number, 3)
        digits = f"{float(abs(rounded)):.3f}".rstrip("0").rstrip(".").replace(".", self._point)
        sign = f"{self._spoken_signs['-']} " if rounded < 0 else ""
        return sign + digits, rounded == number


def _longest(
    table: Mapping[_Phrase, _Value], tokens: list[str], at: int
) -> tuple[_Value, int] | None:
    for length in range(_LONGEST_PHRASE, 0, -1):
        phrase = tuple(tokens[at : at + length])
        if len(phrase) == length and phrase in table:
            return table[phrase], at + length
    return None


def _extends(done: int, current: int, value: int) -> bool:
    """Returns whether `value` extends the number: "twenty" "five", but not "seven" "five"."""
    tail = current % _HUNDRED
    if not tail:
        return current + done > 0 and value < _HUNDRED
    # French adds up to nineteen to sixty and to eighty.
    return tail % 10 == 0 and tail > 10 and 0 < value < (20 if tail in {60, 80} else 10)  # noqa: PLR2004


def _evaluate(numbers: list[Fraction], signs: list[str]) -> Fraction:
    """Multiplies and divides first, then adds and subtracts. Raises ZeroDivisionError."""
    terms = [numbers[0]]
    for sign, number in zip(signs, numbers[1:], strict=True):
        match sign:
            case "*":
                terms[-1] *= number
            case "/":
                terms[-1] /= number
            case _:
                terms.append(number if sign == "+" else -number)
    return sum(terms, Fraction(0))
