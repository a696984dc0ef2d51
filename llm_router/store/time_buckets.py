"""Defines the buckets of stored times, so that sums of histograms still give quantiles.

The histograms of `routing/latency.py` are not stored: they decay, and may change their layout with
any release.
"""

import math
from collections.abc import Mapping

_SHORTEST = 0.001  # s
_GROWTH = 1.1
"""Each bucket is a tenth wider than the one before."""
_LAST = 130
"""The last bucket, which ends at more than 3 minutes."""


def bucket_of(seconds: float | None) -> int | None:
    if seconds is None:
        return None
    if seconds <= _SHORTEST:
        return 0
    return min(_LAST, math.ceil(math.log(seconds / _SHORTEST, _GROWTH)))


def quantile(counts: Mapping[int, int], q: float) -> float:
    """Returns the quantile `q` (s), accurate to 5 %. `counts` maps buckets to counts, not empty."""
    left = max(1, math.ceil(q * sum(counts.values())))
    for bucket in sorted(counts):
        left -= counts[bucket]
        if left <= 0:
            break
    return float(f"{_SHORTEST * _GROWTH ** max(0.0, bucket - 0.5):.3g}")
