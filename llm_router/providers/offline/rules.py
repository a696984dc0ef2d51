"""Finds the rule of `talk.toml` that fits what was heard."""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any

from llm_router.providers.offline.sums import SumWords
from llm_router.providers.offline.words import words

_MOST_WORDS = 60  # of what was heard; the end of it counts
_WIDEST_GAP = 4
_SHORT_EXTRA = 3
_SHORTEST_GUESS = 5
_LIKENESS = 0.83
_NOON = 12


@dataclass(frozen=True, slots=True)
class Rule:
    topic: str
    hear: tuple[tuple[str, ...], ...]
    say: tuple[str, ...]
    short: bool


class Language:
    """One language's table: what it hears and how it says things."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.phrases: Mapping[str, Any] = table
        self.sums = SumWords(table["sums"])
        self._rules = tuple(
            Rule(
                topic=rule["topic"],
                hear=tuple(tuple(words(phrase)) for phrase in rule["hear"]),
                say=tuple(rule.get("say", ())),
                short=rule.get("short", False),
            )
            for rule in table["rules"]
        )
        self._vocabulary = frozenset(w for r in self._rules for p in r.hear for w in p)

    def rule(self, heard: str) -> Rule | None:
        """The rule that fits best, or None."""
        tokens = [self._nearest(word) for word in words(heard)[-_MOST_WORDS:]]
        best, best_score = None, (0, 0)
        for rule in self._rules:
            for phrase in rule.hear:
                if rule.short and len(tokens) > len(phrase) + _SHORT_EXTRA:
                    continue
                score = (len(phrase), sum(map(len, phrase)))
                if score > best_score and _contains(tokens, phrase):
                    best, best_score = rule, score
        return best

    def named(self, topic: str) -> Rule | None:
        return next((rule for rule in self._rules if rule.topic == topic), None)

    def time(self, now: datetime) -> str:
        clock = self.phrases["clock"]
        template: str = clock["time"] if now.minute else clock["sharp"]
        return template.format(
            hour=now.hour,
            hour12=(now.hour - 1) % _NOON + 1,
            minute=now.minute,
            minute2=f"{now.minute:02}",
            ampm="PM" if now.hour >= _NOON else "AM",
        )

    def date(self, now: datetime) -> str:
        clock = self.phrases["clock"]
        template: str = clock["date"]
        return template.format(
            weekday=clock["weekdays"][now.weekday()],
            day=now.day,
            month=clock["months"][now.month - 1],
            year=now.year,
        )

    def sum(self, heard: str) -> str | None:
        """The answer to the first sum in what was heard."""
        solved = self.sums.solve(heard)
        if solved is None:
            return None
        table = self.phrases["sums"]
        if solved.result is None:
            return str(table["by_zero"])
        template: str = table["exact"] if solved.exact else table["rounded"]
        return template.format(sum=solved.spoken, result=solved.result)

    def _nearest(self, word: str) -> str:
        """The known word this one was probably meant to be, else the word itself."""
        if word in self._vocabulary or len(word) < _SHORTEST_GUESS:
            return word
        likely = [w for w in self._vocabulary if w[0] == word[0] and len(w) >= _SHORTEST_GUESS]
        close = difflib.get_close_matches(word, sorted(likely), n=1, cutoff=_LIKENESS)
        return close[0] if close else word


def language(code: str) -> Language:
    """The table for a code such as "de" or "de-AT"; English for one that is not there."""
    wanted = code[:2].lower()
    return _load(wanted if wanted in _talk() and len(wanted) == len("en") else "en")


def tool_names(topic: str) -> Sequence[str]:
    """The names of functions that do what a topic asks for."""
    names: Sequence[str] = _talk()["tools"].get(topic, ())
    return names


@cache
def _load(code: str) -> Language:
    return Language(_talk()[code])


@cache
def _talk() -> Mapping[str, Any]:
    text = resources.files(__package__).joinpath("talk.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _contains(tokens: Sequence[str], phrase: Sequence[str]) -> bool:
    """Whether the phrase's words come in order, with small gaps."""
    return any(
        token == phrase[0] and _follows(tokens, at, phrase) for at, token in enumerate(tokens)
    )


def _follows(tokens: Sequence[str], at: int, phrase: Sequence[str]) -> bool:
    for word in phrase[1:]:
        window = tokens[at + 1 : at + 1 + _WIDEST_GAP]
        if word not in window:
            return False
        at += 1 + window.index(word)
    return True
