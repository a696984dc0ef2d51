"""How long an endpoint takes: decayed histograms that know what they have not seen.

Weights decay forwards (Cormode et al., "Forward decay", ICDE 2009): a new sample simply weighs
more, so recording touches one bucket. Quantiles are read with the product-limit estimator of Kaplan
and Meier (1958): a wait that was cut off (a barge-in, a lost race) says "at least this long" and
takes nothing from the slower half. A failure counts as the slowest wait there is, so that a server
that fails fast never looks fast.
"""

from __future__ import annotations

import math

_SHORTEST, _GROWTH, _BUCKETS = 0.001, 1.1, 124
"""Buckets from 1 ms, each a tenth wider than the one before, to about 2 minutes."""
_LOG_GROWTH = math.log(_GROWTH)
_RESCALE = math.log(1e9)
"""How far weights may grow, as an exponent: rescaled long before a float overflows."""

SIZE_CLASSES = (2_000, 8_000, 32_000)
"""Characters of prompt that part one size class from the next."""


def size_class(characters: int) -> int:
    return sum(characters > limit for limit in SIZE_CLASSES)


def _bucket(seconds: float) -> int:
    if seconds <= _SHORTEST:
        return 0
    return min(_BUCKETS - 1, int(math.log(seconds / _SHORTEST) / _LOG_GROWTH) + 1)


class Histogram:
    """Decayed times of one kind, in seconds. `half_life` is how long until a sample weighs half."""

    __slots__ = ("_cache", "_cut", "_landmark", "_rate", "_seen", "_weight")

    def __init__(self, half_life: float = 600.0) -> None:
        self._rate = math.log(2) / half_life
        self._seen = [0.0] * _BUCKETS
        self._cut = [0.0] * _BUCKETS
        self._weight = 0.0
        self._landmark: float | None = None
        self._cache: dict[float, float | None] = {}

    def record(self, seconds: float, now: float) -> None:
        self._add(self._seen, seconds, now)

    def at_least(self, seconds: float, now: float) -> None:
        """A wait that was cut off after so long (a censored sample)."""
        self._add(self._cut, seconds, now)

    def failed(self, now: float) -> None:
        self._add(self._seen, math.inf, now)

    def count(self, now: float) -> float:
        """Samples, the old ones weighing less."""
        if self._landmark is None:
            return 0.0
        return self._weight * math.exp(-self._rate * (now - self._landmark))

    def quantile(self, q: float) -> float | None:
        """The time by which a part `q` of all waits ended; None before anything was measured.

        Infinity where fewer than that part ever ended.
        """
        if q not in self._cache:
            self._cache[q] = self._estimate(q)
        return self._cache[q]

    def _estimate(self, q: float) -> float | None:
        at_risk = self._weight
        if at_risk <= 0:
            return None
        alive = 1.0
        for index, (seen, cut) in enumerate(zip(self._seen, self._cut, strict=True)):
            if seen:
                alive *= max(0.0, 1 - seen / at_risk)
                if alive <= 1 - q + 1e-9:
                    if index == _BUCKETS - 1:
                        return math.inf
                    return _SHORTEST * _GROWTH**index
            at_risk -= seen + cut
            if at_risk <= 1e-12 * self._weight:
                break
        return math.inf

    def _add(self, counts: list[float], seconds: float, now: float) -> None:
        if self._landmark is None:
            self._landmark = now
        growth = self._rate * (now - self._landmark)
        if growth > _RESCALE:
            self._rescale(math.exp(-growth))
            self._landmark, growth = now, 0.0
        weight = math.exp(growth)
        counts[_BUCKETS - 1 if seconds == math.inf else _bucket(seconds)] += weight
        self._weight += weight
        self._cache.clear()

    def _rescale(self, factor: float) -> None:
        for counts in (self._seen, self._cut):
            counts[:] = [count * factor for count in counts]
        self._weight *= factor


class Latency:
    """What is known of one endpoint's times, by size of the prompt.

    A size class with no sample of its own borrows from the nearest that has one, of two as near
    from the smaller.
    """

    def __init__(self) -> None:
        self._first_word = [Histogram() for _ in range(len(SIZE_CLASSES) + 1)]
        self._first_clause = [Histogram() for _ in range(len(SIZE_CLASSES) + 1)]

    def first_word(self, size: int) -> Histogram:
        return self._nearest(self._first_word, size)

    def first_clause(self, size: int) -> Histogram:
        return self._nearest(self._first_clause, size)

    def record_first_word(self, size: int, seconds: float, now: float) -> None:
        self._first_word[size].record(seconds, now)

    def record_first_clause(self, size: int, seconds: float, now: float) -> None:
        self._first_clause[size].record(seconds, now)

    def record_at_least(self, size: int, seconds: float, now: float) -> None:
        self._first_word[size].at_least(seconds, now)
        self._first_clause[size].at_least(seconds, now)

    def record_failure(self, size: int, now: float) -> None:
        self._first_word[size].failed(now)
        self._first_clause[size].failed(now)

    @staticmethod
    def _nearest(histograms: list[Histogram], size: int) -> Histogram:
        by_distance = sorted(range(len(histograms)), key=lambda i: (abs(i - size), i))
        for index in by_distance:
            if histograms[index].quantile(0.5) is not None:
                return histograms[index]
        return histograms[size]
