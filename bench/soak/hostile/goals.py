"""The goals of a run with hostile neighbours: first words, whole replies and memory."""

from dataclasses import dataclass
from pathlib import Path

from bench.report.goals import Goal
from bench.report.quantiles import quantile
from bench.soak.figures import LONG_ENOUGH, MEGABYTE, Soak, leftover_goals
from bench.soak.hostile.calls import Noticed

_SLOWER = 1.1
"""How many times as long a first word may take beside neighbours as without."""
_GROWTH = 0.5
"""Megabytes by which the process may grow in a minute."""
_MOST = 64.0
"""Megabytes that it may hold at any moment above what it held before the router was opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostileSoak:
    """A run with neighbours. `most`: megabytes that the process held at any moment."""

    soak: Soak
    noticed: Noticed
    most: float

    def slower(self, q: float) -> float:
        """Returns how many times as long the first words take beside neighbours as without."""
        return quantile(self.noticed.beside, q) / quantile(self.noticed.without, q)

    @property
    def growth(self) -> float:
        """Megabytes a minute."""
        settled = self.soak.settled
        return self.soak.growth("megabytes") / (settled[-1].at - settled[0].at) * 60


def most_held() -> float:
    """Returns the megabytes that this process held at any moment since it began."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return int(status["VmHWM"].removesuffix("kB")) * 1024 / MEGABYTE


def hostile_goals(run: HostileSoak) -> list[Goal]:
    """Returns the goals. First words and growth bind a long run only: in a short one, the slowest
    few of a hundred are the machine's, and some attacks strike for the first time.
    """
    binds = run.soak.load.seconds >= LONG_ENOUGH
    first_words = [
        Goal(f"{name} of others' first words, against without", run.slower(q), _SLOWER,
             form=",.3f", required=binds)
        for name, q in (("p50", 0.5), ("p95", 0.95))
    ]  # fmt: skip
    more = run.most - run.soak.idle.closed[0].megabytes
    return [
        *first_words,
        Goal("replies of others that were not whole", run.noticed.lost, 0),
        Goal("neighbours without a word", run.noticed.unanswered, 0),
        Goal("growth of memory in a minute", run.growth, _GROWTH, "MB", required=binds),
        Goal("most memory at any moment, above that before", more, _MOST, "MB"),
        *leftover_goals(run.soak),
    ]
