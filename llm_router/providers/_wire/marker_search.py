"""Finds the marks of machine text, also those that a chunk of a stream cuts in two."""

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain

from llm_router.providers._wire.markers import CALL_HEADS, MARKERS, Kind, Marker

HEAD_SIZE = 200
"""The most characters that decide whether a bracket begins a call, or a header ends."""
_FENCED_TAGS = ("tool_call", "function_call", "function=", "invoke")
_TAG = re.compile(r"(</?[a-z][\w:]*)\s[^<>]{0,100}>", re.IGNORECASE | re.ASCII)
_CUT_TAG = re.compile(r"(</?[a-z][\w:]*)\s[^<>]{0,100}", re.IGNORECASE | re.ASCII)


class MarkerTable:
    """Finds marks in text."""

    def __init__(self, markers: Iterable[Marker]) -> None:
        self._by_opening = {marker.opening.lower(): marker for marker in markers}
        self._openings = pattern(tuple(self._by_opening))
        self._by_character: dict[str, list[str]] = {}
        for opening in self._by_opening:
            self._by_character.setdefault(opening[0], []).append(opening)

    def marker_at(self, text: str, place: int) -> tuple[Marker, int] | None:
        """Returns the mark at this place, and where it ends. A tag may have attributes."""
        if not self._by_opening:
            return None
        if found := self._openings.match(text, place):
            return self._by_opening[found.group().lower()], found.end()
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


@lru_cache(maxsize=256)
def heads_of(names: tuple[str, ...], parameters: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Returns how calls without a mark begin, white space removed."""
    json = (*CALL_HEADS, *(f"[{head}" for head in CALL_HEADS))
    arguments = (f'{{"{parameter}":' for parameter in parameters)
    fenced = (f"{fence}{head}" for fence in ("```json", "```") for head in json)
    tags = (f"{fence}<{tag}" for fence in ("```xml", "```") for tag in _FENCED_TAGS)
    calls = ("print(default_api.", *(f"{name}(" for name in names), *(f"print({n}(" for n in names))
    python = (f"{fence}{call}" for fence in ("```python", "```py", "```") for call in calls)
    named = ((f"[{name}(", f'{{"{name}":{{') for name in names)
    return (*json, *fenced, *tags, *python, *arguments, *chain.from_iterable(named))


def begins_call(tail: str, heads: tuple[str, ...]) -> bool | None:
    """Returns whether a text begins a call that has no mark; None: more of it will tell."""
    compact = "".join(tail.split()).replace("'", '"')
    if any(compact.startswith(head) for head in heads):
        return True
    may = len(tail) < HEAD_SIZE and any(head.startswith(compact) for head in heads)
    return None if may else False


def cut_end(text: str, ends: tuple[str, ...]) -> int:
    """Returns the length of the longest end of a text that begins one of these."""
    text = text[-max(map(len, ends)) :].lower()
    return max(
        (n for end in ends for n in range(1, len(end)) if text.endswith(end[:n].lower())),
        default=0,
    )


@lru_cache(maxsize=256)
def tags_of(names: tuple[str, ...]) -> MarkerTable:
    """Returns the tags that are named like tools, with a tag a parameter inside."""
    return MarkerTable(Marker(f"<{name}>", Kind.CALL, (f"</{name}>",)) for name in names)


@lru_cache(maxsize=256)
def starts_of(names: tuple[str, ...]) -> tuple[Marker, ...]:
    """Returns how a reply begins that is a call in Python, as of an agent, or by its name (GLM)."""
    before = ("", "functions.", "print(")
    in_python = (Marker(f"{x}{name}(", Kind.BARE_CALL) for name in names for x in before)
    above = (Marker(f"{name}\n{{", Kind.CALL) for name in names)
    after_word = (Marker(f"Action: {name}", Kind.CALL) for name in names)
    spaced = (Marker(f"{x}{name}", Kind.CALL) for name in names for x in ("functions.", "call:"))
    return (*in_python, *above, *after_word, *spaced)


VOICE = MarkerTable(MARKERS)
PAGE = MarkerTable(marker for marker in MARKERS if not marker.is_for_voices)
