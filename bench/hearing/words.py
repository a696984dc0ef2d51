"""Compares what a recogniser wrote with what was said, word by word.

Case, punctuation and hyphens do not count. A number in digits is right if one of the ways to read
it aloud was said: "10" is "ten", "346" is "three hundred and forty six" or "three four six".
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_SAME = {
    "ok": "okay",
    "mr": "mister",
    "mrs": "missus",
    "dr": "doctor",
    "oh": "zero",
    "o": "zero",
    "metres": "meters",
}
"""Spellings that stand for the same word; "oh" is the digit."""
_TOKEN = re.compile(r"\d+(?::\d\d)?(?:st|nd|rd|th)?|[^\W\d_]+(?:'[^\W\d_]+)*")
_SMALL = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["-", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
    "nine": "ninth", "twelve": "twelfth",
}  # fmt: skip
_LONGEST_NUMBER = 6
"""Digits beyond which a number is read digit by digit alone."""
_MOST_READINGS = 64
"""Ways to read a transcript that are compared; of a transcript of more numbers, the first ones."""


@dataclass(frozen=True, slots=True)
class WordErrors:
    """`wrong`: words missing, added, or confused with another; `spoken`: words that were said."""

    wrong: int
    spoken: int

    def __add__(self, other: "WordErrors") -> "WordErrors":
        return WordErrors(self.wrong + other.wrong, self.spoken + other.spoken)

    @property
    def share(self) -> float:
        return self.wrong / self.spoken


NONE = WordErrors(0, 0)


def compare(spoken: str, written: str) -> WordErrors:
    """Counts the wrong words of the reading that is closest to what was said."""
    said = next(readings(spoken))
    return WordErrors(min(distance(said, one) for one in readings(written)), len(said))


def readings(text: str) -> Iterator[list[str]]:
    """Yields the words of a text, for each way to read its numbers aloud."""
    plain = re.sub(
        r"([ap])\.m\.?", r"\1m", text.lower().replace("’", "'").replace("%", " percent ")
    )
    plain = re.sub(r"(?<=\d),(?=\d{3}\b)", "", plain.replace("$", " "))
    ways = [_read(token) for token in _TOKEN.findall(plain)]
    for reading in itertools.islice(itertools.product(*ways), _MOST_READINGS):
        yield [_SAME.get(word, word) for part in reading for word in part]


def _read(token: str) -> Sequence[Sequence[str]]:
    """Returns the ways to read a word or a number aloud, the most usual one first."""
    if not token[0].isdigit():
        return [[token]]
    if ":" in token:
        hours, minutes = (part.lstrip("0") or "0" for part in token.split(":"))
        if minutes == "0":
            return [_cardinal(hours), [*_cardinal(hours), "o'clock"]]
        return [[*_cardinal(hours), *(["oh"] if len(minutes) == 1 else []), *_cardinal(minutes)]]
    digits = token.rstrip("stndrh")
    if digits != token:
        return [_ordinal(digits)]
    one_by_one = [word for digit in digits for word in _cardinal(digit)]
    if len(digits) == 1 or len(digits) > _LONGEST_NUMBER:
        return [one_by_one]
    whole = _cardinal(digits)
    pairs = [word for n in range(0, len(digits), 2) for word in _cardinal(digits[n : n + 2])]
    ways = [whole, one_by_one, pairs, [word for word in whole if word != "and"]]
    return [way for n, way in enumerate(ways) if way not in ways[:n]]


def _cardinal(digits: str) -> list[str]:
    """Returns the words of a number of at most six digits."""
    number = int(digits)
    if number < len(_SMALL):
        return [_SMALL[number]]
    if number < 100:
        return [_TENS[number // 10], *([_SMALL[number % 10]] if number % 10 else [])]
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            head = [*_cardinal(str(number // size)), name]
            rest = number % size
            joined = ["and"] if size == 100 else []
            return [*head, *joined, *_cardinal(str(rest))] if rest else head
    raise AssertionError


def _ordinal(digits: str) -> list[str]:
    *head, last = _cardinal(digits)
    regular = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return [*head, _ORDINALS.get(last, regular)]


def distance(said: Sequence[str], written: Sequence[str]) -> int:
    """Returns the fewest insertions, deletions and replacements between two lists of words
    (Levenshtein, 1966).
    """
    row = list(range(len(written) + 1))
    for place, word in enumerate(said, 1):
        before = row
        row = [place]
        for column, other in enumerate(written, 1):
            replaced = before[column - 1] + (word != other)
            row.append(min(replaced, before[column] + 1, row[-1] + 1))
    return row[-1]
