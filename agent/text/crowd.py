"""Bounds what goes on at a time: of each key, such as a client's address, and of all."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from llm_router.errors import BusyError


class Crowd:
    """Counts `what` goes on, such as replies."""

    def __init__(self, what: str, most: int, most_per_key: int) -> None:
        self._what = what
        self._most = most
        self._most_per_key = most_per_key
        self._by_key = Counter[str]()

    def of(self, key: str) -> int:
        return self._by_key[key]

    @contextmanager
    def taken(self, key: str) -> Iterator[None]:
        """Takes a place for the block. Raises BusyError."""
        if self._by_key[key] >= self._most_per_key or self._by_key.total() >= self._most:
            raise BusyError(f"too many {self._what} are under way: wait until one is done", 1.0)
        self._by_key[key] += 1
        try:
            yield
        finally:
            self._by_key[key] -= 1
            if not self._by_key[key]:
                del self._by_key[key]
