"""Quantiles of measured values."""

import math
from collections.abc import Sequence


def quantile(values: Sequence[float], q: float) -> float:
    """Returns the quantile by nearest rank: always one of the values, infinity included."""
    return sorted(values)[max(0, math.ceil(q * len(values) - 1e-9) - 1)]


def median(values: Sequence[float]) -> float:
    return quantile(values, 0.5)
