"""The service levels that are promised, as ratios of series: what is bad, of all.

The dashboard draws them and the rules alert on them, so that both mean the same.
"""

from dataclasses import dataclass

WINDOW = "$window"
"""The place of a window such as `5m` in an expression."""


@dataclass(frozen=True)
class Objective:
    """A service level. `budget`: the ratio of bad to all that is allowed over 30 days.

    `bad` and `total` are expressions of PromQL, with `WINDOW` for their window.
    """

    name: str
    title: str
    description: str
    bad: str
    total: str
    budget: float

    def ratio(self, window: str) -> str:
        """Returns the expression of bad to all within a window."""
        return f"({self.bad}) / ({self.total})".replace(WINDOW, window)


_ENDED = 'sum(rate(router_replies_total{outcome!="cancelled"}[$window]))'
FIRST_WORD_WITHIN = "1.0"
"""Seconds within which 95 of 100 first words come: a bucket of the histogram."""

OBJECTIVES = (
    Objective(
        name="whole-replies",
        title="Whole replies",
        description="999 of 1,000 replies are given by a connection, not by an apology",
        bad='sum(rate(router_replies_total{outcome=~"failed|last resort"}[$window])) or vector(0)',
        total=_ENDED,
        budget=0.001,
    ),
    Objective(
        name="first-word",
        title=f"First word within {FIRST_WORD_WITHIN} s",
        description=f"95 of 100 first words come within {FIRST_WORD_WITHIN} s",
        bad="sum(rate(router_first_word_seconds_count[$window]))"
        f' - sum(rate(router_first_word_seconds_bucket{{le="{FIRST_WORD_WITHIN}"}}[$window]))',
        total="sum(rate(router_first_word_seconds_count[$window]))",
        budget=0.05,
    ),
    Objective(
        name="dead-air",
        title="Dead air",
        description="50 s of dead air in 1,000 turns at most",
        bad="sum(rate(agent_dead_air_seconds_total[$window]))",
        total="sum(rate(agent_turns_total[$window]))",
        budget=0.05,
    ),
)
