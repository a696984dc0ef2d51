"""A scoreboard for routers that share a process, and for tests."""

from collections.abc import Collection, Mapping, Sequence

from llm_router.sync.scoreboard.base import Entry, News, Note, merge


class InMemoryScoreboard:
    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    async def read(self, keys: Collection[str]) -> Mapping[str, Entry]:
        return {key: entry for key, entry in self._entries.items() if key in keys}

    async def write(self, notes: Sequence[Note]) -> None:
        for note in notes:
            self._entries[note.key] = merge(self._entries.get(note.key), note, self._version)

    async def news(self, since: int) -> News:
        changed = {key: e.breaker for key, e in self._entries.items() if e.version > since}
        return News(changed, self._version)

    async def aclose(self) -> None:
        """Nothing to close: what was noted stays for those who still use it."""

    @property
    def _version(self) -> int:
        return max((entry.version for entry in self._entries.values()), default=0)
