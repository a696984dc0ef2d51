"""Times as they are kept for good: by bucket, so that their sums still tell quantiles.

Not the histograms of `latency.py`, which decay and may change their layout with any release.
"""

import math
from collections.abc import Mapping

_SHORTEST, _GROWTH, _LAST = 0.001, 1.1, 130
"""From 1 ms, each bucket a tenth wider than the one before, to more than 3 minutes."""


def bucket_of(seconds: float | None) -> int | None:
    if seconds is None:
        return None
    if seconds <= _SHORTEST:
        return 0
    return min(_LAST, math.ceil(math.log(seconds / _SHORTEST, _GROWTH)))


def quantile(counts: Mapping[int, int], q: float) -> float:
    """The time within which a part `q` of them came, in seconds and to 5 %. There must be one."""
    left = max(1, math.ceil(q * sum(counts.values())))
    for bucket in sorted(counts):
        left -= counts[bucket]
        if left <= 0:
            break
    return float(f"{_SHORTEST * _GROWTH ** max(0.0, bucket - 0.5):.3g}")
