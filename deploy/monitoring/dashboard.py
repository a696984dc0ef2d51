"""Writes the dashboard for Grafana, in its JSON model."""

import json
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from deploy.monitoring.objectives import OBJECTIVES, Objective

FILE = Path(__file__).with_name("dashboard.json")
_SOURCE = {"type": "prometheus", "uid": "${source}"}
_COLUMNS, _HEIGHT = 24, 8
_MONTH = "30d"
_QUANTILE = "histogram_quantile({q}, sum by (le{by}) (rate({series}_bucket[$__rate_interval])))"
_BREAKER = {"0": "closed", "0.5": "half-open", "1": "open"}


def text() -> str:
    """Returns the whole file."""
    return json.dumps(dashboard(), indent=1) + "\n"


def dashboard() -> dict[str, Any]:
    """Returns the dashboard: service levels first, then their causes."""
    return {
        "uid": "patchbay",
        "title": "Patchbay",
        "tags": ["patchbay"],
        "schemaVersion": 39,
        "timezone": "browser",
        "refresh": "10s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "source",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": [*_placed(_rows())],
    }


def _rows() -> Iterator[tuple[str, Sequence[dict[str, Any]]]]:
    yield "Service levels", [_level(objective) for objective in OBJECTIVES]
    yield "Budgets", [_budget(objective) for objective in OBJECTIVES]
    yield (
        "Calls",
        [
            _lines("Calls", "short", {"calls": "sum(lk_agents_active_job_count)"}),
            _lines("Load of the workers", "percentunit", {"{{nodename}}": "lk_agents_worker_load"}),
            _quantiles("Wait for an answer", "agent_wait_seconds"),
        ],
    )
    yield (
        "Replies",
        [
            _lines("Replies", "reqps", {"{{outcome}}": _rate("router_replies_total", "outcome")}),
            _quantiles("First word", "router_first_word_seconds"),
            _lines("First word by connection, 95 %", "s", {
                "{{connection}}": _QUANTILE.format(
                    q=0.95, by=", connection", series="router_first_word_seconds"
                )
            }),
        ],
    )  # fmt: skip
    yield (
        "Endpoints",
        [
            _states("Breakers", "max by (connection) (router_breaker_open)"),
            _lines("In progress", "short", {
                "{{connection}}": "sum by (connection) (router_in_flight)"
            }),
            _lines("Failed attempts", "reqps", {
                "{{connection}} {{outcome}}": "sum by (connection, outcome) (rate("
                'router_attempts_total{outcome!~"won|lost|cancelled"}[$__rate_interval]))'
            }),
        ],
    )  # fmt: skip
    yield (
        "What the router spends",
        [
            _lines("Hedges", "reqps", {"won: {{won}}": _rate("router_hedges_total", "won")}),
            _lines("Resumes and apologies", "reqps", {
                "resumes": "sum(rate(router_resumes_total[$__rate_interval]))",
                "apologies": "sum(rate(router_last_resorts_total[$__rate_interval]))",
            }),
            _lines("Characters in vain", "percentunit", {
                "of all": "sum(rate(router_wasted_characters_total[$__rate_interval]))"
                " / (sum(rate(router_wasted_characters_total[$__rate_interval]))"
                " + sum(rate(router_given_characters_total[$__rate_interval])))"
            }),
        ],
    )  # fmt: skip
    yield (
        "Processes",
        [
            _lines("Memory", "bytes", {"{{instance}}": "process_resident_memory_bytes"}),
            _lines("Processor", "short", {
                "{{instance}}": "rate(process_cpu_seconds_total[$__rate_interval])"
            }),
            _lines("Start of a call's process", "s", {
                "95 %": _QUANTILE.format(
                    q=0.95, by="", series="lk_agents_proc_initialize_duration_seconds"
                )
            }),
        ],
    )  # fmt: skip


def _placed(rows: Iterator[tuple[str, Sequence[dict[str, Any]]]]) -> Iterator[dict[str, Any]]:
    """Numbers the panels and lays each row out over the whole width."""
    ids, y = count(1), 0
    for title, panels in rows:
        place = {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
        yield {"id": next(ids), "type": "row", "title": title, "gridPos": place, "panels": []}
        width = _COLUMNS // len(panels)
        for number, panel in enumerate(panels):
            place = {"x": number * width, "y": y + 1, "w": width, "h": _HEIGHT}
            yield {"id": next(ids), "datasource": _SOURCE, "gridPos": place, **panel}
        y += _HEIGHT + 1


def _level(objective: Objective) -> dict[str, Any]:
    """Draws an objective over the time that is shown, in the unit in which it is promised."""
    ratio = objective.ratio("$__range")
    if objective.name == "dead-air":
        return _stat(f"{objective.title}, s in 1,000 turns", "s", f"1000 * {ratio}", 50)
    return _stat(objective.title, "percentunit", f"1 - {ratio}", 1 - objective.budget, falls=True)


def _budget(objective: Objective) -> dict[str, Any]:
    """Draws what is left of the budget of thirty days."""
    left = f"1 - ({objective.ratio(_MONTH)}) / {objective.budget:g}"
    return _stat(f"{objective.title}: budget left", "percentunit", left, 0.25, falls=True)


def _stat(
    title: str, unit: str, query: str, limit: float, *, falls: bool = False
) -> dict[str, Any]:
    """Draws a figure, red beyond `limit`; with `falls`, below it."""
    colours = ("red", "green") if falls else ("green", "red")
    steps = [{"color": colours[0], "value": None}, {"color": colours[1], "value": round(limit, 6)}]
    defaults = {"unit": unit, "thresholds": {"mode": "absolute", "steps": steps}}
    return {
        "type": "stat",
        "title": title,
        "targets": _targets({title: query}),
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background"},
    }


def _lines(title: str, unit: str, queries: dict[str, str]) -> dict[str, Any]:
    defaults = {"unit": unit, "min": 0, "custom": {"fillOpacity": 10, "spanNulls": False}}
    return {
        "type": "timeseries",
        "title": title,
        "targets": _targets(queries),
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"legend": {"displayMode": "list"}, "tooltip": {"mode": "multi"}},
    }


def _quantiles(title: str, series: str) -> dict[str, Any]:
    names = {"half": 0.5, "95 %": 0.95, "99 %": 0.99}
    return _lines(
        title, "s", {name: _QUANTILE.format(q=q, by="", series=series) for name, q in names.items()}
    )


def _states(title: str, query: str) -> dict[str, Any]:
    colours = {"closed": "green", "half-open": "yellow", "open": "red"}
    mapping = {value: {"text": state, "color": colours[state]} for value, state in _BREAKER.items()}
    defaults = {"mappings": [{"type": "value", "options": mapping}]}
    return {
        "type": "state-timeline",
        "title": title,
        "targets": _targets({"{{connection}}": query}),
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"mergeValues": True, "showValue": "never"},
    }


def _targets(queries: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "refId": chr(ord("A") + number),
            "datasource": _SOURCE,
            "expr": query,
            "legendFormat": legend,
        }
        for number, (legend, query) in enumerate(queries.items())
    ]


def _rate(series: str, label: str) -> str:
    return f"sum by ({label}) (rate({series}[$__rate_interval]))"
