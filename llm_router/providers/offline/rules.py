"""Finds the rule of `talk.toml` that matches an utterance, and formats times, dates and sums."""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any

from llm_router.providers.offline.sums import SumParser
from llm_router.providers.offline.words import words

_MAX_WORDS = 60
"""The last words of an utterance that are compared."""
_MAX_GAP = 4
"""Words within which the next word of a pattern must follow."""
_MAX_EXTRA_WORDS = 3
"""Words beside the pattern in an utterance that a rule with `alone` still matches."""
_MIN_GUESS_LENGTH = 5
"""Letters of a word that may match a similar one."""
_SIMILARITY = 0.83
"""The least similarity of two words, as `difflib` measures it."""
_NOON = 12


@dataclass(frozen=True, slots=True)
class Rule:
    topic: str
    patterns: tuple[tuple[str, ...], ...]
    answers: tuple[str, ...]
    alone: bool


class Language:
    """The rules and phrases of one language."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.phrases: Mapping[str, Any] = table
        self._sums = SumParser(table["sums"])
        self.rules = tuple(
            Rule(
                topic=rule["topic"],
                patterns=tuple(tuple(words(pattern)) for pattern in rule["patterns"]),
                answers=tuple(rule.get("answers", ())),
                alone=rule.get("alone", False),
            )
            for rule in table["rules"]
        )
        self._vocabulary = frozenset(w for r in self.rules for p in r.patterns for w in p)

    def match(self, utterance: str) -> Rule | None:
        """Returns the rule that matches best, or None."""
        tokens = [self._nearest(word) for word in words(utterance)[-_MAX_WORDS:]]
        best, best_score = None, (0, 0)
        for rule in self.rules:
            for pattern in rule.patterns:
                if rule.alone and len(tokens) > len(pattern) + _MAX_EXTRA_WORDS:
                    continue
                score = (len(pattern), sum(map(len, pattern)))
                if score > best_score and _contains(tokens, pattern):
                    best, best_score = rule, score
        return best

    def rule(self, topic: str) -> Rule | None:
        """Returns the rule of a topic, or None if the language has none."""
        return next((rule for rule in self.rules if rule.topic == topic), None)

    def format_time(self, now: datetime) -> str:
        clock = self.phrases["clock"]
        template: str = clock["time"] if now.minute else clock["sharp"]
        return template.format(
            hour=now.hour,
            hour12=(now.hour - 1) % _NOON + 1,
            minute=now.minute,
            minute2=f"{now.minute:02}",
            ampm="PM" if now.hour >= _NOON else "AM",
        )

    def format_date(self, now: datetime) -> str:
        clock = self.phrases["clock"]
        template: str = clock["date"]
        return template.format(
            weekday=clock["weekdays"][now.weekday()],
            day=now.day,
            month=clock["months"][now.month - 1],
            year=now.year,
        )

    def solve_sum(self, utterance: str) -> str | None:
        """Returns a sentence with the result of the first sum in an utterance, or None."""
        solved = self._sums.solve(utterance)
        if solved is None:
            return None
        table = self.phrases["sums"]
        if solved.result is None:
            return str(table["by_zero"])
        template: str = table["exact"] if solved.exact else table["rounded"]
        return template.format(sum=solved.spoken, result=solved.result)

    def _nearest(self, word: str) -> str:
        """Returns the most similar word of the patterns, else the word itself."""
        if word in self._vocabulary or len(word) < _MIN_GUESS_LENGTH:
            return word
        likely = [w for w in self._vocabulary if w[0] == word[0] and len(w) >= _MIN_GUESS_LENGTH]
        close = difflib.get_close_matches(word, sorted(likely), n=1, cutoff=_SIMILARITY)
        return close[0] if close else word


def load_language(code: str) -> Language:
    """Returns the language of a code such as "de" or "de-AT"; English for an unknown code."""
    wanted = code[:2].lower()
    return _load(wanted if wanted in _talk() and len(wanted) == len("en") else "en")


def tool_names(topic: str) -> Sequence[str]:
    """Returns the names of the tools that a topic may call."""
    names: Sequence[str] = _talk()["tools"].get(topic, ())
    return names


@cache
def _load(code: str) -> Language:
    return Language(_talk()[code])


@cache
def _talk() -> Mapping[str, Any]:
    text = resources.files(__package__).joinpath("talk.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _contains(tokens: Sequence[str], pattern: Sequence[str]) -> bool:
    """Returns whether the pattern's words occur in order, with small gaps."""
    return any(
        token == pattern[0] and _follows(tokens, at, pattern) for at, token in enumerate(tokens)
    )


def _follows(tokens: Sequence[str], at: int, pattern: Sequence[str]) -> bool:
    for word in pattern[1:]:
        window = tokens[at + 1 : at + 1 + _MAX_GAP]
        if word not in window:
            return False
        at += 1 + window.index(word)
    return True
