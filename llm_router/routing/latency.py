"""Measured times of an endpoint: decayed histograms with censored samples.

Weights decay forwards (Cormode et al., "Forward decay", ICDE 2009): a new sample weighs more than
an old one, so recording touches one bucket. Quantiles are read with the product-limit estimator of
Kaplan and Meier (1958): a wait that was cut off (a barge-in, a lost race) says "at least this long"
and takes nothing from the slower half. A failure counts as an infinite wait, so that a server that
fails fast never looks fast.

Measurements expire. A prediction holds until its samples weigh next to nothing. An infinite one,
because too many waits failed or were cut off, holds for a minute: an endpoint that met a few
failures is asked again, and one that still fails costs one caller a minute. For an
endpoint that has answered, one or two failures do not make it infinite (`Histogram.expected`).
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping

HALF_LIFE = 600.0
"""Seconds until a sample weighs half."""
ENOUGH = 0.5
"""Total weight of samples below which they are ignored."""
_FEW = 2.5
"""Total weight of failures and of waits cut off below which they are taken for chance. Three in a
row, which open a circuit breaker, weigh more for two and a half minutes."""
DOUBT = 60.0
"""Seconds from the last sample for which an infinite prediction holds."""
_SHORTEST = 0.001
"""Upper end of the first bucket (s)."""
_GROWTH = 1.1
"""Width of each bucket, relative to the one before."""
_BUCKETS = 124
"""Number of buckets; they reach about 2 minutes."""
_FAILED = _BUCKETS - 1
"""The bucket of infinite waits."""
_LOG_GROWTH = math.log(_GROWTH)
_RESCALE = math.log(1e9)
"""Exponent to which weights may grow before they are rescaled, long before a float overflows."""

SIZE_CLASSES = (2_000, 8_000, 32_000)
"""Characters of prompt at which one size class ends and the next begins."""


_SIZES = range(len(SIZE_CLASSES) + 1)
_NEAREST = [sorted(_SIZES, key=lambda other: (abs(other - size), other)) for size in _SIZES]


def size_class(characters: int) -> int:
    """Returns the size class of a prompt: 0 for the shortest."""
    return bisect.bisect_left(SIZE_CLASSES, characters)


def under_load(seconds: float, in_flight: int) -> float:
    """Returns the expected seconds of an endpoint with replies in flight, from its usual seconds.

    Each reply in flight adds one bucket of the histogram, the smallest difference it can measure:
    just enough that equal endpoints share the work before the first sample shows their load. How a
    server really slows down is in its samples (Little's law does not help: batching servers work
    on requests side by side, and a vendor's are busy with other customers' replies).
    """
    return seconds * (1 + (_GROWTH - 1) * in_flight)


def behind(seconds: float, waiting: int) -> float:
    """Returns the expected seconds at a server where requests wait already, from its usual seconds.

    Each waiting request is served first and adds the usual seconds once. That is an underestimate,
    since a reply takes longer than its first clause, but it shows a queue at once, before any
    sample has measured it.
    """
    return seconds * (1 + waiting)


def _bucket(seconds: float) -> int:
    if seconds <= _SHORTEST:
        return 0
    return min(_BUCKETS - 1, int(math.log(seconds / _SHORTEST) / _LOG_GROWTH) + 1)


class Histogram:
    """Decayed times of one kind, in seconds."""

    __slots__ = ("_cache", "_changed_at", "_cut", "_landmark", "_rate", "_seen", "_weight")

    def __init__(self, half_life: float = HALF_LIFE) -> None:
        self._rate = math.log(2) / half_life
        self.forget()

    def forget(self) -> None:
        """Drops every sample."""
        self._seen: dict[int, float] = {}
        self._cut: dict[int, float] = {}
        self._weight = 0.0
        self._landmark: float | None = None
        self._changed_at = -math.inf
        self._cache: dict[float, float | None] = {}

    def fades_at(self) -> float:
        """Returns when the samples weigh too little for their median to be used.

        Infinity: there are no samples.
        """
        if self._landmark is None or self._weight <= 0:
            return math.inf
        weighs_until = self._landmark + math.log(self._weight / ENOUGH) / self._rate
        is_doubtful = self.expected() == math.inf
        return min(weighs_until, self._changed_at + DOUBT) if is_doubtful else weighs_until

    def record(self, seconds: float, now: float) -> None:
        self._add(self._seen, seconds, now)

    def at_least(self, seconds: float, now: float) -> None:
        """Records a wait that was cut off after so many seconds (a censored sample)."""
        self._add(self._cut, seconds, now)

    def failed(self, now: float) -> None:
        """Records an infinite wait."""
        self._add(self._seen, math.inf, now)

    def __bool__(self) -> bool:
        """Returns whether anything was measured."""
        return self._weight > 0

    def count(self, now: float) -> float:
        """Returns the weight of all samples; an old sample weighs less than one."""
        if self._landmark is None:
            return 0.0
        return self._weight * math.exp(-self._rate * (now - self._landmark))

    @property
    def share_ended(self) -> float:
        """Share of waits that did not end in a failure; 1 before anything was measured."""
        return 1.0 - self._seen.get(_FAILED, 0.0) / self._weight if self._weight else 1.0

    def quantile(self, q: float) -> float | None:
        """Returns the seconds within which a share `q` of all waits ended.

        None before anything was measured; infinity where fewer than that share ever ended.
        """
        if q not in self._cache:
            self._cache[q] = self._estimate(q)
        return self._cache[q]

    def expected(self) -> float | None:
        """Returns the median wait; of the waits that ended, where few others failed or were cut.

        None: nothing was measured. Infinity: most of the waits never ended.
        """
        median = self.quantile(0.5)
        ended = sum(self._seen.values()) - self._seen.get(_FAILED, 0.0)
        if median != math.inf or ended <= 0:
            return median
        others = self.count(self._changed_at) * (1 - ended / self._weight)
        return self.quantile(0.5 * ended / self._weight) if others < _FEW else median

    def _estimate(self, q: float) -> float | None:
        at_risk = self._weight
        if at_risk <= 0:
            return None
        alive = 1.0
        cuts = self._cut
        for index in sorted(self._seen.keys() | cuts.keys() if cuts else self._seen):
            seen = self._seen.get(index, 0.0)
            cut = cuts.get(index, 0.0)
            if seen:
                alive *= max(0.0, 1 - seen / at_risk)
                if alive <= 1 - q + 1e-9:
                    if index == _FAILED:
                        return math.inf
                    return _SHORTEST * _GROWTH**index
            at_risk -= seen + cut
            if at_risk <= 1e-12 * self._weight:
                break
        return math.inf

    def weights(self, now: float) -> dict[int, float]:
        """Returns the present weight of each bucket: waits that ended, then waits cut off."""
        if self._landmark is None:
            return {}
        faded = math.exp(-self._rate * (now - self._landmark))
        weights = {bucket: count * faded for bucket, count in self._seen.items()}
        return weights | {_BUCKETS + bucket: count * faded for bucket, count in self._cut.items()}

    def add_weight(self, bucket: int, weight: float, now: float) -> None:
        """Adds samples that another process has measured to one bucket of `weights`."""
        counts = self._seen if bucket < _BUCKETS else self._cut
        self._add_to(counts, bucket % _BUCKETS, weight, now)

    def _add(self, counts: dict[int, float], seconds: float, now: float) -> None:
        self._add_to(counts, _FAILED if seconds == math.inf else _bucket(seconds), 1.0, now)

    def _add_to(self, counts: dict[int, float], bucket: int, weight: float, now: float) -> None:
        if self._landmark is None:
            self._landmark = now
        growth = self._rate * (now - self._landmark)
        if growth > _RESCALE:
            self._rescale(math.exp(-growth))
            self._landmark = now
            growth = 0.0
        weight *= math.exp(growth)
        counts[bucket] = counts.get(bucket, 0.0) + weight
        self._weight += weight
        self._changed_at = now
        self._cache.clear()

    def _rescale(self, factor: float) -> None:
        for counts in (self._seen, self._cut):
            for bucket in counts:
                counts[bucket] *= factor
        self._weight *= factor


_EACH = 2 * _BUCKETS
"""Numbers in one histogram's `weights`."""
_HISTOGRAMS = 2 * (len(SIZE_CLASSES) + 1) + 1
WEIGHTS = _HISTOGRAMS * _EACH
"""Numbers in all of `Latency.weights`."""
LAYOUT = (_SHORTEST, _GROWTH, _BUCKETS, SIZE_CLASSES, HALF_LIFE, _HISTOGRAMS)
"""The meaning of those numbers: only weights of the same layout can be added."""
Weights = Mapping[int, float]
"""Samples by histogram and bucket; a missing key is 0. They add up: since all decay alike, the sum
of several processes' weights is what one process with all their samples would have."""


def by_histogram(weights: Weights) -> list[dict[int, float]]:
    """Splits weights by histogram, leaving out histograms that have none."""
    parts: dict[int, dict[int, float]] = {}
    for key, weight in weights.items():
        parts.setdefault(key // _EACH, {})[key] = weight
    return list(parts.values())


class Latency:
    """The measured times of one endpoint: to the first word and clause, by size of the prompt; and
    the longest pause of each reply, for all prompts together (`pauses`).

    A size class without samples borrows from the nearest that has some; of two as near, from the
    smaller.
    """

    def __init__(self) -> None:
        self._first_word = [Histogram() for _ in range(len(SIZE_CLASSES) + 1)]
        self._first_clause = [Histogram() for _ in range(len(SIZE_CLASSES) + 1)]
        self.pauses = Histogram()
        self.samples = 0
        """Recorded in this process so far; a grown number means that there is news to share."""
        self.on_change: Callable[[], None] = lambda: None
        """Called after each change."""
        self._fades_at = -math.inf
        """No clause time expires before then; minus infinity: to be worked out again."""

    def first_word(self, size: int) -> Histogram:
        return self._nearest(self._first_word, size)

    def first_clause(self, size: int) -> Histogram:
        return self._nearest(self._first_clause, size)

    def record_first_word(self, size: int, seconds: float, now: float) -> None:
        self._first_word[size].record(seconds, now)
        self._recorded()

    def record_first_clause(self, size: int, seconds: float, now: float) -> None:
        self._first_clause[size].record(seconds, now)
        self._recorded()

    def record_at_least(self, size: int, seconds: float, now: float) -> None:
        self._first_word[size].at_least(seconds, now)
        self._first_clause[size].at_least(seconds, now)
        self._recorded()

    def record_no_clause(self, size: int, seconds: float, now: float) -> None:
        """Records that words came, but no whole clause within so many seconds."""
        self._first_clause[size].at_least(seconds, now)
        self._recorded()

    def record_pause(self, seconds: float, now: float) -> None:
        """Records the longest pause between two chunks of a whole reply."""
        self.pauses.record(seconds, now)
        self._recorded()

    def record_stall(self, seconds: float, now: float) -> None:
        """Records a pause that lasted at least so many seconds: the router gave up on it."""
        self.pauses.at_least(seconds, now)
        self._recorded()

    def record_failure(self, size: int, now: float) -> None:
        self._first_word[size].failed(now)
        self._first_clause[size].failed(now)
        self._recorded()

    def fade(self, now: float) -> None:
        """Drops the clause times whose samples are too old, so that they are measured again.

        Times to first word stay: their readers check how much they weigh.
        """
        if now < self._fades_at:
            return
        for histogram in self._first_clause:
            if now >= histogram.fades_at():
                histogram.forget()
                self.on_change()
        self._fades_at = min(histogram.fades_at() for histogram in self._first_clause)

    def weights(self, now: float) -> Weights:
        """Returns all samples at their present weight, leaving out empty buckets."""
        return {
            place * _EACH + bucket: weight
            for place, histogram in enumerate(self._all())
            for bucket, weight in histogram.weights(now).items()
            if weight
        }

    def add_weights(self, weights: Weights, now: float) -> None:
        """Adds samples that another process has measured."""
        histograms = self._all()
        for key, weight in weights.items():
            place, bucket = divmod(key, _EACH)
            histograms[place].add_weight(bucket, weight, now)
        self._updated()

    def _all(self) -> list[Histogram]:
        return [*self._first_word, *self._first_clause, self.pauses]

    @staticmethod
    def _nearest(histograms: list[Histogram], size: int) -> Histogram:
        for place in _NEAREST[size]:
            if histograms[place]:
                return histograms[place]
        return histograms[size]

    def _recorded(self) -> None:
        self.samples += 1
        self._updated()

    def _updated(self) -> None:
        self._fades_at = -math.inf
        self.on_change()
