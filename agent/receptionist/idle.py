"""Decides how many call processes are started in advance. Pure: times (s) are given."""

import math
from collections import deque

_MINUTE = 60.0
_REMEMBERED = 300.0
"""Seconds for which a burst of calls is expected to come again."""
_MOST_ARRIVALS = 1000
"""Arrivals that are remembered."""
_PER_CORE = 5
"""Idle processes per core: each takes 0.2 s of a core to start, and 0.3 % of one as it waits."""
_MEGABYTES = 160
"""Memory (MB) for one idle process and the call that it will hold, with something to spare."""


def most_idle(least: int, cores: float, free_megabytes: float) -> int:
    """Returns how many idle processes this machine may have: in half of its free memory."""
    fitting = int(free_megabytes / 2 / _MEGABYTES)
    return max(least, min(math.ceil(cores * _PER_CORE), fitting))


class Arrivals:
    """The calls of the last minutes, and how many are to be expected while a process starts."""

    def __init__(self) -> None:
        self._times = deque[float](maxlen=_MOST_ARRIVALS)

    def arrived(self, now: float) -> None:
        self._times.append(now)

    def target(self, now: float, startup: float, *, least: int, most: int) -> int:
        """Returns how many processes should be idle: between `least` and `most`.

        Each call takes one process, and the next is up `startup` seconds later. So the target is
        the larger of two numbers: the most calls that came within `startup` seconds during the last
        five minutes, and the calls that the rate of the last minute makes likely (mean plus
        spread).
        """
        while self._times and self._times[0] < now - _REMEMBERED:
            self._times.popleft()
        expected = sum(at > now - _MINUTE for at in self._times) / _MINUTE * startup
        likely = math.ceil(expected + math.sqrt(expected))
        return max(least, min(most, max(likely, self._largest_burst(startup))))

    def _largest_burst(self, within: float) -> int:
        """Returns the largest number of calls that came within so many seconds."""
        times = list(self._times)
        largest = first = 0
        for last, at in enumerate(times):
            while times[first] < at - within:
                first += 1
            largest = max(largest, last - first + 1)
        return largest


class StartupTime:
    """The seconds that a call process needs to come up, as the latest ones show."""

    _USUAL = 3.0
    """Seconds that are assumed before one has come up."""
    _LONGEST = 10.0
    """Where a process needs longer the machine is busy, and more of them would not help."""
    _NEWEST = 0.3
    """Weight of the newest process."""

    def __init__(self) -> None:
        self._seconds: float | None = None

    def measured(self, seconds: float) -> None:
        before = self._seconds
        self._seconds = seconds if before is None else before + self._NEWEST * (seconds - before)

    @property
    def seconds(self) -> float:
        return self._USUAL if self._seconds is None else min(self._seconds, self._LONGEST)
