"""Writes the rules for Prometheus: burn rates of the objectives, and causes to act on.

Several windows, several burn rates: Google's SRE workbook, chapter 5. An alert fires while a budget
burns fast over a long window and still does over a short one, so that it comes in time, is not
raised by a blip, and ends soon after the fault.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.monitoring.objectives import OBJECTIVES, Objective

FILE = Path(__file__).with_name("rules.yml")
_RUNBOOK = "docs/monitoring.md"


@dataclass(frozen=True)
class Burn:
    """A burn rate that is alerted on: the budget of 30 days would be gone in 30 days / `factor`."""

    factor: float
    long: str
    short: str
    severity: str


BURNS = (
    Burn(14.4, "1h", "5m", "page"),
    Burn(6, "6h", "30m", "page"),
    Burn(3, "1d", "2h", "ticket"),
    Burn(1, "3d", "6h", "ticket"),
)
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


@dataclass(frozen=True)
class Cause:
    """A condition that lasts, and what to do about it."""

    name: str
    expression: str
    lasts: str
    severity: str
    summary: str


CAUSES = (
    Cause(
        "NoWorker",
        "absent(lk_agents_worker_load)",
        "2m",
        "page",
        "No worker publishes its load: nobody answers calls. Read the log of the workers.",
    ),
    Cause(
        "WorkersFull",
        "avg(lk_agents_worker_load) > 0.8",
        "10m",
        "ticket",
        "Workers are four fifths full. Start more, or let them scale.",
    ),
    Cause(
        "ConnectionResting",
        "min by (connection) (router_breaker_open) == 1",
        "10m",
        "ticket",
        "{{ $labels.connection }} rests in every process. Run llm-router connections test.",
    ),
    Cause(
        "ProcessAway",
        'up{job=~"patchbay.*"} == 0',
        "2m",
        "page",
        "{{ $labels.instance }} of {{ $labels.job }} gives no metrics. See whether it runs.",
    ),
)


def text() -> str:
    """Returns the whole file."""
    lines = ["# Written by python -m deploy.monitoring; change deploy/monitoring/rules.py instead."]
    lines += ["groups:"]
    for objective in OBJECTIVES:
        lines += _group(f"patchbay-{objective.name}", _objective_rules(objective))
    lines += _group("patchbay-causes", _cause_rules())
    return "\n".join([*lines, ""])


def recorded(objective: Objective, window: str) -> str:
    """Returns the name of the series that holds the ratio of an objective within a window."""
    return f"patchbay:{objective.name.replace('-', '_')}:ratio_rate{window}"


def _objective_rules(objective: Objective) -> Iterator[list[str]]:
    for window in WINDOWS:
        yield [
            f"record: {recorded(objective, window)}",
            f"expr: {_quoted(objective.ratio(window))}",
        ]
    name = "".join(word.capitalize() for word in objective.name.split("-"))
    for severity in ("page", "ticket"):
        burning = " or ".join(
            f"({recorded(objective, burn.long)} > {_limit(objective, burn)}"
            f" and {recorded(objective, burn.short)} > {_limit(objective, burn)})"
            for burn in BURNS
            if burn.severity == severity
        )
        yield [
            f"alert: Patchbay{name}{severity.capitalize()}",
            f"expr: {_quoted(burning)}",
            *_labels(severity),
            *_annotations(f"{objective.title}: {objective.description}; the budget burns fast."),
        ]


def _cause_rules() -> Iterator[list[str]]:
    for cause in CAUSES:
        yield [
            f"alert: Patchbay{cause.name}",
            f"expr: {_quoted(cause.expression)}",
            f"for: {cause.lasts}",
            *_labels(cause.severity),
            *_annotations(cause.summary),
        ]


def _limit(objective: Objective, burn: Burn) -> str:
    return f"{objective.budget * burn.factor:g}"


def _group(name: str, rules: Iterator[list[str]]) -> list[str]:
    lines = [f"  - name: {name}", "    rules:"]
    for first, *rest in rules:
        lines += [f"      - {first}", *(f"        {line}" for line in rest)]
    return lines


def _labels(severity: str) -> list[str]:
    return ["labels:", f"  severity: {severity}"]


def _annotations(summary: str) -> list[str]:
    return ["annotations:", f"  summary: {_quoted(summary)}", f"  runbook: {_RUNBOOK}"]


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
