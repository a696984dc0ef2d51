"""Bounds the replies in progress: of each API key, of all together, and their bodies in memory."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from llm_router.errors import BusyError


class ReplyPlaces:
    """Counts the replies in progress.

    `most_per_key` and `most` are numbers of replies, `most_bytes` is of the bodies of their
    requests, so that neither one key nor many use up connections and memory.
    """

    def __init__(
        self, most_per_key: int = 100, most: int = 1_000, most_bytes: int = 200_000_000
    ) -> None:
        self._most_per_key = most_per_key
        self._most = most
        self._most_bytes = most_bytes
        self._by_key = Counter[str]()
        self._bytes = 0

    @property
    def in_progress(self) -> int:
        return self._by_key.total()

    @contextmanager
    def taken(self, key_id: str, size: int) -> Iterator[None]:
        """Takes a place for the block, of a request of so many bytes. Raises BusyError."""
        if self._by_key[key_id] >= self._most_per_key:
            raise BusyError(
                f"{self._most_per_key} replies of this API key are in progress: wait until one is"
                " done",
                1.0,
            )
        if self.in_progress >= self._most or self._bytes + size > self._most_bytes:
            raise BusyError("as many replies are in progress as this process may have", 1.0)
        self._by_key[key_id] += 1
        self._bytes += size
        try:
            yield
        finally:
            self._bytes -= size
            self._by_key[key_id] -= 1
            if not self._by_key[key_id]:
                del self._by_key[key_id]
