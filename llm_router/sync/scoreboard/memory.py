"""A scoreboard in memory, for routers that share a process and for tests."""

from collections.abc import Collection, Mapping, Sequence

from llm_router.sync.scoreboard.base import BreakerChanges, Entry, Report, merge


class InMemoryScoreboard:
    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    async def read(self, keys: Collection[str]) -> Mapping[str, Entry]:
        return {key: entry for key, entry in self._entries.items() if key in keys}

    async def write(self, reports: Sequence[Report]) -> None:
        for report in reports:
            self._entries[report.key] = merge(self._entries.get(report.key), report, self._version)

    async def breaker_changes(self, since: int) -> BreakerChanges:
        changed = {key: e.breaker for key, e in self._entries.items() if e.version > since}
        return BreakerChanges(changed, self._version)

    async def aclose(self) -> None:
        """Does nothing: the entries stay for other users of the board."""

    @property
    def _version(self) -> int:
        return max((entry.version for entry in self._entries.values()), default=0)
