"""Finds the marks of machine text, also those that a chunk of a stream cuts in two."""

import re
from functools import lru_cache

from llm_router.providers._wire.markers import CALL_HEADS, MARKERS, Kind, Marker

HEAD_SIZE = 200
"""The most characters that decide whether a bracket begins a call, or a header ends."""


class MarkerTable:
    """Finds marks in text."""

    def __init__(self, *, is_for_voices: bool) -> None:
        markers = [marker for marker in MARKERS if is_for_voices or not marker.is_for_voices]
        self._by_opening = {marker.opening.lower(): marker for marker in markers}
        self._openings = pattern(tuple(self._by_opening))
        self._by_character: dict[str, list[str]] = {}
        for opening in self._by_opening:
            self._by_character.setdefault(opening[0], []).append(opening)

    def marker_at(self, text: str, place: int) -> Marker | None:
        found = self._openings.match(text, place)
        return self._by_opening[found.group().lower()] if found else None

    def is_cut(self, tail: str) -> bool:
        """Returns whether a text, to its end, is the beginning of a mark."""
        tail = tail.lower()
        openings = self._by_character.get(tail[0], ())
        return any(len(tail) < len(one) and one.startswith(tail) for one in openings)


@lru_cache(maxsize=256)
def pattern(texts: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(texts, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE | re.ASCII)


@lru_cache(maxsize=256)
def heads_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns how calls without a mark begin, white space removed."""
    json = (*CALL_HEADS, *(f"[{head}" for head in CALL_HEADS))
    fenced = (f"{fence}{head}" for fence in ("```json", "```") for head in json)
    return (*json, *fenced, *(f"[{name}(" for name in names))


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
def starts_of(names: tuple[str, ...]) -> tuple[Marker, ...]:
    """Returns how a reply begins that is a call in Python, or a name above its arguments (GLM)."""
    in_python = (Marker(f"{name}(", Kind.BARE_CALL) for name in names)
    return (*in_python, *(Marker(f"{name}\n{{", Kind.CALL) for name in names))
