"""How long an endpoint takes: decayed histograms that know what they have not seen.

Weights decay forwards (Cormode et al., "Forward decay", ICDE 2009): a new sample simply weighs
more, so recording touches one bucket. Quantiles are read with the product-limit estimator of Kaplan
and Meier (1958): a wait that was cut off (a barge-in, a lost race) says "at least this long" and
takes nothing from the slower half. A failure counts as the slowest wait there is, so that a server
that fails fast never looks fast.

What is known fades. A prediction holds until its samples weigh next to nothing, and one that says
"never", because too many waits failed or were cut off, for a minute: an endpoint that met a few
failures is asked again, and one that goes on failing pays for it with one caller a minute.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping

HALF_LIFE = 600.0
"""Seconds until a sample weighs half."""
ENOUGH = 0.5
"""Samples that weigh less than this together say nothing."""
DOUBT = 60.0
"""Seconds from the last sample for which an infinite prediction holds."""
_SHORTEST, _GROWTH, _BUCKETS = 0.001, 1.1, 124
"""Buckets from 1 ms, each a tenth wider than the one before, to about 2 minutes."""
_FAILED = _BUCKETS - 1
"""The bucket of waits that never end."""
_LOG_GROWTH = math.log(_GROWTH)
_RESCALE = math.log(1e9)
"""How far weights may grow, as an exponent: rescaled long before a float overflows."""

SIZE_CLASSES = (2_000, 8_000, 32_000)
"""Characters of prompt that part one size class from the next."""


_SIZES = range(len(SIZE_CLASSES) + 1)
_NEAREST = [sorted(_SIZES, key=lambda other: (abs(other - size), other)) for size in _SIZES]


def size_class(characters: int) -> int:
    return bisect.bisect_left(SIZE_CLASSES, characters)


def under_load(seconds: float, in_flight: int) -> float:
    """What to expect of an endpoint that is busy with so many replies, from what it usually takes.

    Each counts as one bucket of the histogram, the least difference that was measured at all: just
    enough that equals share the work before the first sample shows their load. How a server really
    slows down is in its samples (Little's law is no help: batching servers serve side by side, and
    a vendor's are busy with other people's replies).
    """
    return seconds * (1 + (_GROWTH - 1) * in_flight)


def behind(seconds: float, waiting: int) -> float:
    """What to expect where so many requests wait at the server already.

    Each is served before us, and counts as one more of the server's usual times: less than it will
    be, since a reply takes longer than its first clause, but a queue is known for what it is at
    once, not when its waits have been suffered.
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
        """Nothing was measured."""
        self._seen: dict[int, float] = {}
        self._cut: dict[int, float] = {}
        self._weight = 0.0
        self._landmark: float | None = None
        self._changed_at = -math.inf
        self._cache: dict[float, float | None] = {}

    def fades_at(self) -> float:
        """From when on what was measured says too little to go by its median; infinity: it says
        nothing yet.
        """
        if self._landmark is None or self._weight <= 0:
            return math.inf
        weighs_until = self._landmark + math.log(self._weight / ENOUGH) / self._rate
        is_doubtful = self.quantile(0.5) == math.inf
        return min(weighs_until, self._changed_at + DOUBT) if is_doubtful else weighs_until

    def record(self, seconds: float, now: float) -> None:
        self._add(self._seen, seconds, now)

    def at_least(self, seconds: float, now: float) -> None:
        """A wait that was cut off after so long (a censored sample)."""
        self._add(self._cut, seconds, now)

    def failed(self, now: float) -> None:
        self._add(self._seen, math.inf, now)

    def __bool__(self) -> bool:
        """Whether anything was measured."""
        return self._weight > 0

    def count(self, now: float) -> float:
        """Samples, the old ones weighing less."""
        if self._landmark is None:
            return 0.0
        return self._weight * math.exp(-self._rate * (now - self._landmark))

    @property
    def share_ended(self) -> float:
        """The part of all waits that did not end in a failure; 1 before anything was measured."""
        return 1.0 - self._seen.get(_FAILED, 0.0) / self._weight if self._weight else 1.0

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
        alive, cuts = 1.0, self._cut
        for index in sorted(self._seen.keys() | cuts.keys() if cuts else self._seen):
            seen, cut = self._seen.get(index, 0.0), cuts.get(index, 0.0)
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
        """What each bucket weighs now: first of the waits seen to their end, then of the others."""
        if self._landmark is None:
            return {}
        faded = math.exp(-self._rate * (now - self._landmark))
        weights = {bucket: count * faded for bucket, count in self._seen.items()}
        return weights | {_BUCKETS + bucket: count * faded for bucket, count in self._cut.items()}

    def add_weight(self, bucket: int, weight: float, now: float) -> None:
        """Add to one bucket of `weights` what somebody else has measured."""
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
            self._landmark, growth = now, 0.0
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
"""What those numbers mean: they can be added to others of the same layout only."""
Weights = Mapping[int, float]
"""Samples by histogram and bucket; what is left out is 0. They add up: since all decay alike, the
sum of what several processes measured is what one that measured it all would know."""


def by_histogram(weights: Weights) -> list[dict[int, float]]:
    """The weights that belong together, for each histogram that has any."""
    parts: dict[int, dict[int, float]] = {}
    for key, weight in weights.items():
        parts.setdefault(key // _EACH, {})[key] = weight
    return list(parts.values())


class Latency:
    """What is known of one endpoint's times: to the first word and clause, by size of the prompt;
    and the longest `pauses` of its replies, whatever the prompt.

    A size class with no sample of its own borrows from the nearest that has one, of two as near
    from the smaller.
    """

    def __init__(self) -> None:
        self._first_word = [Histogram() for _ in range(len(SIZE_CLASSES) + 1)]
        self._first_clause = [Histogram() for _ in range(len(SIZE_CLASSES) + 1)]
        self.pauses = Histogram()
        self.samples = 0
        """Recorded here so far: what has grown since it was last looked at is worth sharing."""
        self.told: Callable[[], None] = lambda: None
        """Called after each change."""
        self._fades_at = -math.inf
        """No clause time fades before; at once: it has to be worked out anew."""

    def first_word(self, size: int) -> Histogram:
        return self._nearest(self._first_word, size)

    def first_clause(self, size: int) -> Histogram:
        return self._nearest(self._first_clause, size)

    def record_first_word(self, size: int, seconds: float, now: float) -> None:
        self._first_word[size].record(seconds, now)
        self._changed()

    def record_first_clause(self, size: int, seconds: float, now: float) -> None:
        self._first_clause[size].record(seconds, now)
        self._changed()

    def record_at_least(self, size: int, seconds: float, now: float) -> None:
        self._first_word[size].at_least(seconds, now)
        self._first_clause[size].at_least(seconds, now)
        self._changed()

    def record_no_clause(self, size: int, seconds: float, now: float) -> None:
        """Words came, and after so long there was no clause among them."""
        self._first_clause[size].at_least(seconds, now)
        self._changed()

    def record_pause(self, seconds: float, now: float) -> None:
        """The longest between two chunks of a whole reply."""
        self.pauses.record(seconds, now)
        self._changed()

    def record_stall(self, seconds: float, now: float) -> None:
        """A pause that lasted at least so long: nobody waited for its end."""
        self.pauses.at_least(seconds, now)
        self._changed()

    def record_failure(self, size: int, now: float) -> None:
        self._first_word[size].failed(now)
        self._first_clause[size].failed(now)
        self._changed()

    def fade(self, now: float) -> None:
        """Forget the clause times that say too little by now, so that they are measured anew.

        Those of first words stay: who goes by them asks how much they weigh.
        """
        if now < self._fades_at:
            return
        for histogram in self._first_clause:
            if now >= histogram.fades_at():
                histogram.forget()
                self.told()
        self._fades_at = min(histogram.fades_at() for histogram in self._first_clause)

    def weights(self, now: float) -> Weights:
        """All that is known, as it weighs now; buckets that weigh nothing are left out."""
        return {
            place * _EACH + bucket: weight
            for place, histogram in enumerate(self._all())
            for bucket, weight in histogram.weights(now).items()
            if weight
        }

    def add_weights(self, weights: Weights, now: float) -> None:
        """Add what somebody else has measured."""
        histograms = self._all()
        for key, weight in weights.items():
            place, bucket = divmod(key, _EACH)
            histograms[place].add_weight(bucket, weight, now)
        self._learnt()

    def _all(self) -> list[Histogram]:
        return [*self._first_word, *self._first_clause, self.pauses]

    @staticmethod
    def _nearest(histograms: list[Histogram], size: int) -> Histogram:
        for place in _NEAREST[size]:
            if histograms[place]:
                return histograms[place]
        return histograms[size]

    def _changed(self) -> None:
        self.samples += 1
        self._learnt()

    def _learnt(self) -> None:
        self._fades_at = -math.inf
        self.told()
