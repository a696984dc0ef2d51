"""Keeps the endpoints of one process and the scoreboard in step, beside the calls."""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from llm_router.clock import Clock
from llm_router.routing.breaker import BreakerRecord
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.latency import ENOUGH, Weights, by_histogram
from llm_router.sync.scoreboard.base import Entry, Note, Scoreboard, ScoreboardError, faded, key_of

_logger = logging.getLogger("llm_router")

_EVERY = 0.5
"""Seconds between two steps: a breaker's change is written in one and read in the next."""
_START_WITHIN = 0.25
"""Seconds that a router waits for what is known; a board slower than that is not worth a caller's
time."""
_STOP_WITHIN = 2.0
_MOST_SAMPLES = 20.0
"""What others measured counts as at most so many samples: enough to know a server's p95, few enough
for a call to learn quickly that it has changed."""
_LONGEST_REST = 3600.0
"""Seconds. A wall clock that was wrong cannot shut an endpoint out for longer."""
_UNTIL_CHANGED = 60.0
"""Seconds for which an endpoint rests, at those who are told, that rests "until it is changed" at
those who found out: a key or a model may be put right at the server, which nobody sees from here,
and then a new call must not inherit the old verdict for ever."""

_HAIR = 0.1
_TOO_SLOW = "the scoreboard gave no answer in time"


@dataclass
class _Kept:
    """What of an endpoint is on the board already: `weights` as they were at `at`."""

    key: str
    at: float
    generation: int
    samples: int = 0
    weights: Weights = field(default_factory=dict)


class Keeper:
    """Made and closed by `open_router`.

    Nothing here is in a word's way: changes are gathered, at most one note for each endpoint, and
    written in the background. When the board fails, that is logged once, what is learnt is kept for
    when it is back, and the process goes on alone.
    """

    def __init__(
        self,
        board: Scoreboard,
        endpoints: Callable[[], Sequence[Endpoint]],
        clock: Clock,
        *,
        start_within: float = _START_WITHIN,
    ) -> None:
        self._board, self._endpoints, self._clock = board, endpoints, clock
        self._start_within = start_within
        self._kept: dict[Endpoint, _Kept] = {}
        self._version = 0
        self._is_alone = False
        self._stepping = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin with what the others know, unless the board is too slow to tell."""
        try:
            async with asyncio.timeout(self._start_within):
                await self.step()
        except TimeoutError:
            self._went_wrong(_TOO_SLOW)
        self._task = asyncio.create_task(self._run(), name="scoreboard")

    async def step(self) -> None:
        """Write what was learnt here, then read what was learnt elsewhere. Raises nothing."""
        async with self._stepping:
            try:
                await self._meet_new_ones()
                await self._write()
                await self._read()
            except ScoreboardError as error:
                self._went_wrong(str(error))
                return
        if self._is_alone:
            self._is_alone = False
            _logger.info("the scoreboard is back")

    async def aclose(self) -> None:
        """Write what is left, if the board takes it soon."""
        try:
            async with asyncio.timeout(_STOP_WITHIN):
                async with self._stepping:  # a note that is being written is not cut off
                    if self._task:
                        self._task.cancel()
                await self.step()
        except TimeoutError:
            self._went_wrong(_TOO_SLOW)
        finally:
            if self._task:
                self._task.cancel()
                await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(_EVERY)
            await self.step()

    def _went_wrong(self, why: str) -> None:
        if not self._is_alone:
            self._is_alone = True
            _logger.warning("%s; until then this process learns alone", why)

    # ── What goes where ──────────────────────────────────────────────────────────────────────────

    async def _meet_new_ones(self) -> None:
        endpoints = self._endpoints()
        for gone in self._kept.keys() - set(endpoints):
            del self._kept[gone]
        new = [endpoint for endpoint in endpoints if endpoint not in self._kept]
        if not new:
            return
        for endpoint in new:  # first, so that one who meets a dead board is not met again later
            key, now = key_of(endpoint.connection), self._clock.now()
            kept = self._kept[endpoint] = _Kept(key, now, endpoint.breaker.generation)
            kept.weights = endpoint.latency.weights(now)  # taken over from one that was changed
        known = await self._board.read({self._kept[endpoint].key for endpoint in new})
        for endpoint in new:
            if entry := known.get(self._kept[endpoint].key):
                self._seed(endpoint, entry)

    def _seed(self, endpoint: Endpoint, entry: Entry) -> None:
        now, kept = self._clock.now(), self._kept[endpoint]
        weights = _as_a_start(faded(entry.weights, self._clock.wall() - entry.at))
        endpoint.latency.add_weights(weights, now)
        kept.weights, kept.at = endpoint.latency.weights(now), now

    async def _write(self) -> None:
        noted: list[tuple[Endpoint, _Kept]] = []
        notes: list[Note] = []
        now, wall = self._clock.now(), self._clock.wall()
        for endpoint, kept in self._kept.items():
            generation, samples = endpoint.breaker.generation, endpoint.latency.samples
            if (generation, samples) == (kept.generation, kept.samples):
                continue
            after = kept
            weights: Weights = {}
            if samples != kept.samples:
                known = endpoint.latency.weights(now)
                weights = _grown(faded(kept.weights, now - kept.at), known)
                after = replace(after, at=now, samples=samples, weights=known)
            record = None
            if generation != kept.generation:
                record = _told(endpoint.breaker.record(), now, wall)
                after = replace(after, generation=generation)
            name = endpoint.name
            notes.append(Note(key=kept.key, name=name, at=wall, weights=weights, breaker=record))
            noted.append((endpoint, after))
        if notes:
            await self._board.write(notes)
            self._kept.update(noted)

    async def _read(self) -> None:
        news = await self._board.news(self._version)
        self._version = news.version
        now, wall = self._clock.now(), self._clock.wall()
        for endpoint, kept in self._kept.items():
            found = news.breakers.get(kept.key)
            breaker = endpoint.breaker
            if found is None or breaker.generation != kept.generation:
                continue  # what changed here in the meantime is written first, and then merged
            found = _heard(found, now, wall)
            if _is_new(found, breaker.record()):
                breaker.adopt(found)
                kept.generation = breaker.generation


def _as_a_start(weights: Weights) -> dict[int, float]:
    start: dict[int, float] = {}
    for part in by_histogram(weights):
        samples = sum(part.values())
        if samples >= ENOUGH:
            factor = min(1.0, _MOST_SAMPLES / samples)
            start |= {key: weight * factor for key, weight in part.items()}
    return start


def _grown(before: Weights, now: Weights) -> dict[int, float]:
    grown = {key: weight - before.get(key, 0.0) for key, weight in now.items()}
    return {key: weight for key, weight in grown.items() if weight > 0}


def _told(record: BreakerRecord, now: float, wall: float) -> BreakerRecord:
    """The record on the wall clock; a closed one has no time in it."""
    if not record.is_open:
        return record
    rest = _UNTIL_CHANGED if math.isinf(record.open_until) else record.open_until - now
    return replace(record, open_until=wall + rest)


def _heard(record: BreakerRecord, now: float, wall: float) -> BreakerRecord:
    """The record on this process's own clock."""
    rest = min(record.open_until - wall, _LONGEST_REST)
    return replace(record, open_until=now + rest) if record.is_open else record


def _is_new(found: BreakerRecord, known: BreakerRecord) -> bool:
    """Two clocks are read one after the other, so the same moment comes back a hair off."""
    if found.is_open and known.is_open:
        return found.open_until > known.open_until + _HAIR
    return found.is_open != known.is_open
