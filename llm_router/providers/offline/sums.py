"""Simple sums, spoken or written: "what is twelve times seven", "7 + 5"."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

from llm_router.providers.offline.words import fold, words

_Found = TypeVar("_Found")
_Phrase = tuple[str, ...]

_HUNDRED, _THOUSAND = 100, 1000
_TOO_BIG = 10**15
_LONGEST_PHRASE = 3
# A dash or slash without spaces is a date, a phone number or "24/7" rather than a sum.
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
    """`spoken` is the sum in words; `result` is None for a division by zero."""

    spoken: str
    result: str | None
    exact: bool


class SumWords:
    """How one language says numbers and signs; built from its `sums` table."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._say = {sign: spoken[0] for sign, spoken in table["signs"].items()}
        self._signs = dict(_SYMBOLS)
        for sign, spoken in table["signs"].items():
            self._signs |= {tuple(words(phrase)): sign for phrase in spoken}
        self._numbers: dict[_Phrase, int] = {
            tuple(words(phrase)): value for phrase, value in table["numbers"].items()
        }
        self._fillers = frozenset(words(" ".join(table["fillers"])))
        self._point: str = table["point"]

    def solve(self, text: str) -> Sum | None:
        """The first sum in `text`; None when there is none or it is too big to say."""
        tokens = _TOKEN.findall(_HYPHEN.sub(" ", fold(text)))
        start = 0
        while start < len(tokens):
            numbers, signs, end = self._expression(tokens, start)
            if signs:
                return self._worked_out(numbers, signs)
            start = max(end, start + 1)
        return None

    def _expression(self, tokens: list[str], start: int) -> tuple[list[Fraction], list[str], int]:
        """Number, sign, number, ... as far as it goes, and where it ends."""
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
        """A number in digits or in words ("three hundred and five") and where it ends."""
        if start < len(tokens) and tokens[start][0].isdigit():
            return self._digits(tokens[start]), start + 1
        done, current, end = 0, 0, start
        for value, after in self._number_words(tokens, start):
            if value >= _THOUSAND and current < value:
                done, current = done + (current or 1) * value, 0
            elif value == _HUNDRED and 0 <= current < _HUNDRED:
                current = (current or 1) * _HUNDRED
            elif end == start or _goes_on(done, current, value):
                current += value
            else:
                break
            end = after
        return (Fraction(done + current), end) if end > start else None

    def _number_words(self, tokens: list[str], start: int) -> Iterator[tuple[int, int]]:
        at = start
        while at < len(tokens):
            if found := _longest(self._numbers, tokens, at) or self._compound(tokens, at):
                at = found[1]
                yield found
            elif at > start and tokens[at] in self._fillers:
                at += 1
            else:
                return

    def _compound(self, tokens: list[str], at: int) -> tuple[int, int] | None:
        """One word for units and tens, as in German: "siebenundzwanzig"."""
        for filler in self._fillers:
            units, found, tens = tokens[at].partition(filler)
            if found and (units,) in self._numbers and (tens,) in self._numbers:
                return self._numbers[(tens,)] + self._numbers[(units,)], at + 1
        return None

    def _digits(self, token: str) -> Fraction:
        thousands = "," if self._point == "." else "."
        whole, _, part = token.replace(thousands, "").partition(self._point)
        return Fraction(f"{whole}.{part.replace(self._point, '')}" if part else whole)

    def _worked_out(self, numbers: list[Fraction], signs: list[str]) -> Sum | None:
        spoken = self._shown(numbers[0])[0]
        for sign, number in zip(signs, numbers[1:], strict=True):
            spoken += f" {self._say[sign]} {self._shown(number)[0]}"
        try:
            result = _evaluated(numbers, signs)
        except ZeroDivisionError:
            return Sum(spoken, None, exact=True)
        if max(abs(n) for n in (*numbers, result)) >= _TOO_BIG:
            return None
        shown, exact = self._shown(result)
        return Sum(spoken, shown, exact)

    def _shown(self, number: Fraction) -> tuple[str, bool]:
        """The number for the ear, with three decimals at most, and whether that is all of it."""
        rounded = round(number, 3)
        digits = f"{float(abs(rounded)):.3f}".rstrip("0").rstrip(".").replace(".", self._point)
        sign = f"{self._say['-']} " if rounded < 0 else ""
        return sign + digits, rounded == number


def _longest(
    table: Mapping[_Phrase, _Found], tokens: list[str], at: int
) -> tuple[_Found, int] | None:
    for length in range(_LONGEST_PHRASE, 0, -1):
        phrase = tuple(tokens[at : at + length])
        if len(phrase) == length and phrase in table:
            return table[phrase], at + length
    return None


def _goes_on(done: int, current: int, value: int) -> bool:
    """Whether `value` is part of the same number: "twenty" "five", but not "seven" "five"."""
    tail = current % _HUNDRED
    if not tail:
        return current + done > 0 and value < _HUNDRED
    # French counts on from sixty and from eighty up to nineteen.
    return tail % 10 == 0 and tail > 10 and 0 < value < (20 if tail in {60, 80} else 10)  # noqa: PLR2004


def _evaluated(numbers: list[Fraction], signs: list[str]) -> Fraction:
    """Times and divided by first, then plus and minus, from the left. Raises ZeroDivisionError."""
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
