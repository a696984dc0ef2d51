"""Exchanges the measurements of one process with the scoreboard, beside the calls."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from llm_router.clock import Clock
from llm_router.periodic import OutageLog, PeriodicTask
from llm_router.routing.breaker import BreakerRecord
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.latency import ENOUGH, Weights, by_histogram
from llm_router.sync.scoreboard.base import Entry, Report, Scoreboard, decayed, fingerprint

_EVERY = 0.5
"""Seconds between two steps: a breaker's change is written in one and read in the next."""
_START_WITHIN = 0.25
"""Seconds for which a router waits for the scoreboard at its start: a slower one is not worth a
caller's time."""
_STOP_WITHIN = 2.0
_MAX_SAMPLES = 20.0
"""Measurements of other processes count as at most so many samples: enough to know a server's p95,
few enough for a call to learn quickly that it has changed."""
_MAX_OPEN = 3600.0
"""Seconds for which a breaker opens at most because of the scoreboard, so that a wall clock that
was wrong cannot exclude an endpoint for longer."""
_UNTIL_CHANGED = 60.0
"""Seconds for which a breaker that is open "until it is changed" opens in other processes. A key or
a model may be put right at the server, which cannot be seen from here, and a new call must not
inherit the old verdict for ever."""
_CLOCK_TOLERANCE = 0.1
"""Seconds: two clocks are read one after the other, so a time that travels comes back slightly
different."""


@dataclass
class _Shared:
    """The part of an endpoint's measurements that the scoreboard has; `weights` as of `at`."""

    key: str
    at: float
    generation: int
    samples: int = 0
    weights: Weights = field(default_factory=dict)


class ScoreboardSync:
    """Keeps the endpoints of one process and the scoreboard in step, from `start` to `aclose`.

    No reply waits for it: changes are gathered, at most one report for each endpoint, and written
    in the background. While the scoreboard fails, measurements are held back for a later step and
    the process goes on with its own.
    """

    def __init__(
        self,
        board: Scoreboard,
        endpoints: Callable[[], Sequence[Endpoint]],
        clock: Clock,
        *,
        start_within: float = _START_WITHIN,
    ) -> None:
        self._board = board
        self._endpoints = endpoints
        self._clock = clock
        self._start_within = start_within
        self._shared: dict[Endpoint, _Shared] = {}
        self._version = 0
        outage = OutageLog(
            "this process knows only its own measurements until the scoreboard answers again",
            "the scoreboard answers again",
        )
        self._task = PeriodicTask(self._exchange, clock, _EVERY, name="scoreboard", outage=outage)

    async def start(self) -> None:
        """Reads what other processes have measured, unless the board is too slow, and starts the
        task for further steps.
        """
        await self._task.step_within(self._start_within)
        self._task.start(delay=_EVERY)

    async def step(self) -> None:
        """Writes and reads once, now. A board that fails is logged."""
        await self._task.step_once()

    async def aclose(self) -> None:
        """Ends the task with a last step, for which the board has 2 s.

        A report that is being written is not cut off before that.
        """
        await self._task.aclose(last_step_within=_STOP_WITHIN)

    async def _exchange(self) -> None:
        """Writes what was measured here, then reads what was measured elsewhere.

        Raises ScoreboardError.
        """
        await self._add_new_endpoints()
        await self._write()
        await self._read()

    async def _add_new_endpoints(self) -> None:
        endpoints = self._endpoints()
        for removed in self._shared.keys() - set(endpoints):
            del self._shared[removed]
        new = [endpoint for endpoint in endpoints if endpoint not in self._shared]
        if not new:
            return
        for endpoint in new:  # before the read, so that it is not repeated if the board fails
            key = fingerprint(endpoint.connection)
            now = self._clock.now()
            inherited = endpoint.latency.weights(now)  # from the connection before it was changed
            self._shared[endpoint] = _Shared(
                key, now, endpoint.breaker.generation, weights=inherited
            )
        known = await self._board.read({self._shared[endpoint].key for endpoint in new})
        for endpoint in new:
            if entry := known.get(self._shared[endpoint].key):
                self._seed(endpoint, entry)

    def _seed(self, endpoint: Endpoint, entry: Entry) -> None:
        now = self._clock.now()
        shared = self._shared[endpoint]
        weights = _initial(decayed(entry.weights, self._clock.wall() - entry.at))
        endpoint.latency.add_weights(weights, now)
        shared.weights = endpoint.latency.weights(now)
        shared.at = now

    async def _write(self) -> None:
        written: list[tuple[Endpoint, _Shared]] = []
        reports: list[Report] = []
        now = self._clock.now()
        wall = self._clock.wall()
        for endpoint, shared in self._shared.items():
            generation = endpoint.breaker.generation
            samples = endpoint.latency.samples
            if (generation, samples) == (shared.generation, shared.samples):
                continue
            after = shared
            weights: Weights = {}
            if samples != shared.samples:
                present = endpoint.latency.weights(now)
                weights = _growth(decayed(shared.weights, now - shared.at), present)
                after = replace(after, at=now, samples=samples, weights=present)
            breaker = None
            if generation != shared.generation:
                breaker = _to_wall(endpoint.breaker.record(), now, wall)
                after = replace(after, generation=generation)
            reports.append(
                Report(
                    key=shared.key, name=endpoint.name, at=wall, weights=weights, breaker=breaker
                )
            )
            written.append((endpoint, after))
        if reports:
            await self._board.write(reports)
            self._shared.update(written)

    async def _read(self) -> None:
        changes = await self._board.breaker_changes(self._version)
        self._version = changes.version
        now = self._clock.now()
        wall = self._clock.wall()
        for endpoint, shared in self._shared.items():
            found = changes.breakers.get(shared.key)
            breaker = endpoint.breaker
            if found is None or breaker.generation != shared.generation:
                continue  # a change made here meanwhile is written first, and then merged
            found = _from_wall(found, now, wall)
            if _differs(found, breaker.record()):
                breaker.adopt(found)
                shared.generation = breaker.generation


def _initial(weights: Weights) -> dict[int, float]:
    """Returns the weights with which an endpoint starts: each histogram with enough samples, scaled
    down to `_MAX_SAMPLES`.
    """
    initial: dict[int, float] = {}
    for part in by_histogram(weights):
        samples = sum(part.values())
        if samples >= ENOUGH:
            factor = min(1.0, _MAX_SAMPLES / samples)
            initial |= {key: weight * factor for key, weight in part.items()}
    return initial


def _growth(before: Weights, now: Weights) -> dict[int, float]:
    grown = {key: weight - before.get(key, 0.0) for key, weight in now.items()}
    return {key: weight for key, weight in grown.items() if weight > 0}


def _to_wall(record: BreakerRecord, now: float, wall: float) -> BreakerRecord:
    """Converts the record's time to the wall clock; a closed breaker has none."""
    if not record.is_open:
        return record
    rest = _UNTIL_CHANGED if math.isinf(record.open_until) else record.open_until - now
    return replace(record, open_until=wall + rest)


def _from_wall(record: BreakerRecord, now: float, wall: float) -> BreakerRecord:
    """Converts the record's time to this process's own clock."""
    rest = min(record.open_until - wall, _MAX_OPEN)
    return replace(record, open_until=now + rest) if record.is_open else record


def _differs(found: BreakerRecord, own: BreakerRecord) -> bool:
    """Returns whether the record that was found should replace this process's own."""
    if found.is_open and own.is_open:
        return found.open_until > own.open_until + _CLOCK_TOLERANCE
    return found.is_open != own.is_open
