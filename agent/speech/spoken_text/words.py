"""Reads the words that written forms are said with, by language."""

import functools
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

_FILE = Path(__file__).with_name("words.toml")
_MONTH_FIRST = {"en", "en-us"}
"""Languages in which 11/29/2026 is in November."""

SPACE = "[ \u00a0\u202f]"
NUMBER = r"\d{1,15}(?:[.,'’\u00a0\u202f]\d{1,6}){0,5}"
"""A number with its separators. All repetitions are bounded, so no text can make a search slow."""
NUMBER_START = r"(?<![\w.,])"


@dataclass(frozen=True, kw_only=True)
class Dates:
    """How dates are written and said. Each month and day is its name and short forms of it."""

    months: list[str]
    days: list[str]
    form: str = ""
    """How a whole date is said; empty: by the language's own rule."""
    first: str = "1"
    ordinals: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Words:
    """The words of one language, as `words.toml` describes them."""

    to: str
    per: str
    and_: str
    minus: str
    number: str
    about: str
    times: str
    scales: Mapping[str, str]
    address: Mapping[str, str]
    numbers: list[str]
    fractions: Mapping[str, str]
    titles: Mapping[str, str]
    endings: Mapping[str, str]
    money: Mapping[str, list[str]]
    units: Mapping[str, list[str]]
    full: str
    part: str
    dates: Dates
    marks: list[str]
    signs: Mapping[str, str] = field(default_factory=dict)
    streets: Mapping[str, str] = field(default_factory=dict)
    one: str = ""
    letter: str = ""
    zero: str = ""
    halves: list[str] = field(default_factory=list)
    pairs: bool = False
    """Phone numbers are read by pairs of digits, where they are written so."""
    month_first: bool = False


@functools.cache
def all_words() -> Mapping[str, Words]:
    """Returns the words of every language that has some, by its two letters."""
    tables = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return {language: _words(table) for language, table in tables.items()}


def _words(table: dict[str, dict[str, list[str]]]) -> Words:
    clock, dates = table.pop("clock"), table.pop("dates")
    return Words(and_=table.pop("and"), dates=Dates(**dates), **clock, **table)  # type: ignore[arg-type]  # TOML's values


@functools.lru_cache(maxsize=64)
def words_of(language: str) -> Words | None:
    """Returns the words of a language such as "en" or "en-GB", or None if it has none here."""
    tag = language.lower().replace("_", "-")
    words = all_words().get(tag.split("-")[0])
    return replace(words, month_first=True) if words and tag in _MONTH_FIRST else words


def any_of(choices: Iterable[str]) -> str:
    """Returns a pattern of any of the texts, the longest first."""
    return "|".join(map(re.escape, sorted(choices, key=lambda text: (-len(text), text))))
