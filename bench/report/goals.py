"""Goals: measured values and the limits that they must not exceed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.table import Table, make_table


@dataclass(frozen=True, slots=True)
class Goal:
    """A measured value and its limit. NaN misses every limit.

    `form`: the format of the measured value. `required`: missing it fails a run with `--check`;
    otherwise the goal is an aim. `hint`: where to search for the cause of a miss.
    """

    name: str
    measured: float
    limit: float
    unit: str = ""
    form: str = ",.2f"
    required: bool = True
    hint: str = ""

    @property
    def is_met(self) -> bool:
        return self.measured <= self.limit

    @property
    def verdict(self) -> str:
        return "met" if self.is_met else "MISSED"

    @property
    def label(self) -> str:
        """The promise and whether it was met, short enough for a cell among others."""
        return f"{self.name} ≤ {self.limit_text} {'✓' if self.is_met else '✗'}"

    def __str__(self) -> str:
        hint = f"; {self.hint}" if self.hint else ""
        return f"{self.name}: {self.measured_text}, at most {self.limit_text}{hint}"

    @property
    def measured_text(self) -> str:
        if math.isnan(self.measured):
            return "not measured"
        if math.isinf(self.measured):
            return "never"
        return f"{self.measured:{self.form}} {self.unit}".rstrip()

    @property
    def limit_text(self) -> str:
        return f"{self.limit:g} {self.unit}".rstrip()


def goals_table(goals: Sequence[Goal]) -> Table:
    return make_table(
        goals,
        [
            ("", lambda goal: goal.name),
            ("measured", lambda goal: goal.measured_text),
            ("at most", lambda goal: goal.limit_text),
            ("", lambda goal: goal.verdict),
        ],
        last_is_text=True,
    )


def goals_cell(goals: Sequence[Goal]) -> str:
    """The labels of several goals in one cell of a table."""
    return "; ".join(goal.label for goal in goals)
