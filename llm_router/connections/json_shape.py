"""Walks JSON values level by level: neither their depth nor their size costs more than allowed."""

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any


def is_within(value: Any, *, values: int, levels: int | None = None) -> bool:
    """Returns whether a JSON value holds at most so many values, in so many levels.

    Objects, arrays and plain values count alike; the value itself is the first level.
    """
    level: list[Any] = [value]
    depth = count = 0
    while level:  # not by recursion: what is nested too deep for Python's stack is refused as well
        depth, count = depth + 1, count + len(level)
        if count > values or (levels is not None and depth > levels):
            return False
        level = list(islice(chain.from_iterable(map(_inner, level)), values + 1))
    return True


def members(value: Any) -> Iterator[tuple[str, Any]]:
    """Yields each name in a JSON value with its value, at any level."""
    level: list[Any] = [value]
    while level:
        for each in level:
            if isinstance(each, Mapping):
                yield from each.items()
        level = list(chain.from_iterable(map(_inner, level)))


def _inner(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        return iter(value.values())
    return iter(value) if isinstance(value, list | tuple) else iter(())
