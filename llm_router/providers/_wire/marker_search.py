"""Finds the marks of machine text, also those that a chunk of a stream cuts in two."""

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from llm_router.providers._wire.markers import CALL_HEADS, MARKERS, Kind, Marker

HEAD_SIZE = 200
"""The most characters that decide whether a bracket begins a call, or a header ends."""
_GLANCE = 12
"""Characters that usually show that a bracket begins no call."""
_FENCED_TAGS = ("tool_call", "function_call", "function=", "invoke")
_TAG = re.compile(r"(</?[a-z][\w:]*)\s[^<>]{0,100}>", re.IGNORECASE | re.ASCII)
_CUT_TAG = re.compile(r"(</?[a-z][\w:]*)\s[^<>]{0,100}", re.IGNORECASE | re.ASCII)


class MarkerTable:
    """Finds marks in text."""

    def __init__(self, markers: Iterable[Marker]) -> None:
        self._by_opening = {marker.opening.lower(): marker for marker in markers}
        self._by_start: dict[str, tuple[str, ...]] = {}
        """Openings by their first two characters, or their only one, the longest first."""
        self._by_character: dict[str, list[str]] = {}
        for opening in sorted(self._by_opening, key=len, reverse=True):
            start = opening[:2]
            self._by_start[start] = (*self._by_start.get(start, ()), opening)
            self._by_character.setdefault(opening[0], []).append(opening)
        self._longest = max(map(len, self._by_opening), default=0)

    def marker_at(self, text: str, place: int) -> tuple[Marker, int] | None:
        """Returns the mark at this place, and where it ends. A tag may have attributes."""
        if not self._by_opening:
            return None
        head = text[place : place + self._longest].lower()
        for start in (head[:2], head[:1]):
            openings = self._by_start.get(start, ())
            if openings and head.startswith(openings):
                opening = next(one for one in openings if head.startswith(one))
                return self._by_opening[opening], place + len(opening)
        if tag := _TAG.match(text, place):
            marker = self._by_opening.get(f"{tag[1].lower()}>")
            return (marker, tag.end()) if marker else None
        return None

    def is_cut(self, tail: str) -> bool:
        """Returns whether a text, to its end, is the beginning of a mark."""
        tail = tail.lower()
        openings = self._by_character.get(tail[0], ())
        if any(len(tail) < len(one) and one.startswith(tail) for one in openings):
            return True
        tag = _CUT_TAG.fullmatch(tail)
        return tag is not None and f"{tag[1]}>" in self._by_opening


@lru_cache(maxsize=256)
def pattern(texts: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(texts, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE | re.ASCII)


class Heads(NamedTuple):
    """The beginnings of calls without a mark, white space removed."""

    texts: tuple[str, ...] = ()
    starts: frozenset[str] = frozenset()
    """Their first two characters."""


@lru_cache(maxsize=256)
def heads_of(names: tuple[str, ...], parameters: tuple[str, ...] = ()) -> Heads:
    """Returns how calls without a mark begin, white space removed."""
    json = (*CALL_HEADS, *(f"[{head}" for head in CALL_HEADS))
    arguments = (f'{{"{parameter}":' for parameter in parameters)
    fenced = (f"{fence}{head}" for fence in ("```json", "```") for head in json)
    tags = (f"{fence}<{tag}" for fence in ("```xml", "```") for tag in _FENCED_TAGS)
    calls = ("print(default_api.", *(f"{name}(" for name in names), *(f"print({n}(" for n in names))
    python = (f"{fence}{call}" for fence in ("```python", "```py", "```") for call in calls)
    named = ((f"[{name}(", f'{{"{name}":{{') for name in names)
    heads = (*json, *fenced, *tags, *python, *arguments, *chain.from_iterable(named))
    return Heads(heads, frozenset(head[:2] for head in heads))


def begins_call(tail: str, heads: Heads) -> bool | None:
    """Returns whether a text begins a call that has no mark; None: more of it will tell."""
    start = tail[:_GLANCE].replace(" ", "").replace("'", '"')[:2]
    if len(start) > 1 and not start[1].isspace() and start not in heads.starts:
        return False  # the usual case, and the one that must be quick
    compact = "".join(tail.split()).replace("'", '"')
    if compact.startswith(heads.texts):
        return True
    may = len(tail) < HEAD_SIZE and any(head.startswith(compact) for head in heads.texts)
    return None if may else False


def cut_end(text: str, ends: tuple[str, ...]) -> int:
    """Returns the length of the longest end of a text that begins one of these."""
    small, starts, longest = _small(ends)
    tail = text[1 - longest :].lower() if longest > 1 else ""
    for place, character in enumerate(tail):
        rest = tail[place:] if character in starts else ""
        if rest and any(end.startswith(rest) for end in small if len(end) > len(rest)):
            return len(rest)
    return 0


@lru_cache(maxsize=256)
def _small(ends: tuple[str, ...]) -> tuple[tuple[str, ...], frozenset[str], int]:
    """Returns texts in small letters, their first characters and the longest one's size."""
    small = tuple(end.lower() for end in ends)
    return small, frozenset(end[0] for end in small), max(map(len, ends))


@lru_cache(maxsize=256)
def tags_of(names: tuple[str, ...]) -> MarkerTable:
    """Returns the tags that are named like tools, with a tag a parameter inside."""
    tags = (Marker(f"<{name}>", Kind.CALL, (f"</{name}>",)) for name in names)
    actions = (Marker(f"\n{action.opening}", Kind.CALL) for action in _actions(names))
    return MarkerTable((*tags, *actions))


def _labels(word: str) -> tuple[str, ...]:
    return f"{word}:", f"**{word}:**", f"**{word}**:"


_ANSWERS = (*_labels("Final Answer"), "**Final Answer**\n")


@lru_cache(maxsize=256)
def _actions(names: tuple[str, ...]) -> tuple[Marker, ...]:
    """Returns how an agent (ReAct) calls one of these tools, after its thought or at once.

    None has an end: what follows is a result that the model has made up.
    """
    quoted = (f"{quote}{name}" for name in names for quote in ("", "`", "**"))
    called = (*quoted, "```", "{", "[{") if names else ()
    starts = [f"{label}{gap}" for label in _labels("Action") for gap in (" ", "\n")]
    starts += ["Action:", "Action: \n", "Action:\n\n"]
    return tuple(Marker(f"{start}{call}", Kind.CALL) for start in starts for call in called)


_SPEAKERS = tuple(
    Marker(f"{name}:", Kind.TOKEN) for name in ("Assistant", "assistant", "### Response")
)
"""Names of itself that a model writes before its words, as in a written dialogue."""


@lru_cache(maxsize=256)
def starts_of(names: tuple[str, ...]) -> tuple[Marker, ...]:
    """Returns how a reply begins that is a call in Python, as of an agent, or by its name (GLM)."""
    before = ("", "functions.", "print(")
    in_python = (Marker(f"{x}{name}(", Kind.BARE_CALL) for name in names for x in before)
    above = (Marker(f"{name}\n{{", Kind.CALL) for name in names)
    spaced = (Marker(f"{x}{name}", Kind.CALL) for name in names for x in ("functions.", "call:"))
    channel = (Marker(f">>>{name}\n", Kind.CALL) for name in names)  # Functionary
    actions = _actions(names)
    ends = (*(action.opening for action in actions), *_ANSWERS, *_labels("Answer"), "AI:")
    agents = (
        *(Marker(x, Kind.THOUGHT, tuple(f"\n{end}" for end in ends)) for x in _labels("Thought")),
        *(Marker(answer, Kind.TOKEN) for answer in _ANSWERS),
        *actions,
    )
    of_agents = agents if names else ()
    return (*in_python, *above, *spaced, *channel, *of_agents, *_SPEAKERS)


VOICE = MarkerTable(MARKERS)
PAGE = MarkerTable(marker for marker in MARKERS if not marker.is_for_voices)
