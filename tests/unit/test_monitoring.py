"""The dashboard and the rules are those that the code writes, over series that there are."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # ships no types
from livekit.agents.telemetry import metrics as livekit_metrics
from prometheus_client import CollectorRegistry, Histogram

from agent.turn_metrics import DEAD_AIR_AFTER, TurnMetrics
from deploy.monitoring import dashboard, rules
from deploy.monitoring.objectives import FIRST_WORD_WITHIN, OBJECTIVES
from llm_router.telemetry.prometheus import PrometheusObserver, process_registry

_SERIES = re.compile(r"\b((?:router|agent|lk_agents|process)_[a-z_]+)\b")


def published() -> set[str]:
    """Returns the names of the series that the processes publish."""
    registry = CollectorRegistry()
    PrometheusObserver(registry)
    TurnMetrics(registry)
    names = set()
    for family in (*registry.collect(), *process_registry().collect()):
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
        names |= {f"{family.name}{suffix}" for suffix in suffixes.get(family.type, ("",))}
    for metric in vars(livekit_metrics).values():
        if name := getattr(metric, "_name", ""):
            is_histogram = isinstance(metric, Histogram)
            names |= {f"{name}_bucket"} if is_histogram else {name}
    return names


def expressions() -> Iterator[str]:
    """Yields every expression of the dashboard and of the rules."""
    for panel in dashboard.dashboard()["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for group in yaml.safe_load(rules.text())["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


@pytest.mark.parametrize("module", [dashboard, rules], ids=lambda module: module.__name__)
def test_the_stored_file_is_the_one_that_the_code_writes(module: Any) -> None:
    assert module.FILE.read_text() == module.text(), "run python -m deploy.monitoring"


def test_every_series_that_is_named_is_published() -> None:
    named = {name for text in expressions() for name in _SERIES.findall(text)}
    assert named <= published()
    assert {"router_replies_total", "agent_turns_total", "lk_agents_worker_load"} <= named


def test_every_label_that_is_named_is_there() -> None:
    labels = {"connection", "outcome", "won", "le", "nodename", "job", "instance"}
    for text in expressions():
        assert set(re.findall(r"(\w+)[!=]?[=~]+\"", text)) <= labels, text
        for names in re.findall(r"by \(([^)]*)\)", text):
            assert set(names.split(", ")) <= labels, text


def test_a_bucket_ends_where_the_first_word_is_promised() -> None:
    registry = CollectorRegistry()
    PrometheusObserver(registry)._first_word.labels("a").observe(0.1)
    ends = {sample.labels.get("le") for family in registry.collect() for sample in family.samples}
    assert FIRST_WORD_WITHIN in ends


def test_alerts_use_only_what_is_recorded_and_have_a_runbook() -> None:
    groups = yaml.safe_load(rules.text())["groups"]
    assert len(groups) == len(OBJECTIVES) + 1
    for group in groups:
        recorded = {rule["record"] for rule in group["rules"] if "record" in rule}
        for rule in group["rules"]:
            assert set(re.findall(r"patchbay:\w+:\w+", rule["expr"])) <= recorded
            if "alert" in rule:
                assert rule["labels"]["severity"] in {"page", "ticket"}
                assert rule["annotations"].keys() == {"summary", "runbook"}


def test_panels_have_their_own_numbers_and_places() -> None:
    panels = json.loads(dashboard.text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        taken |= cells


def test_turns_are_counted_with_the_silence_beyond_thought() -> None:
    registry = CollectorRegistry()
    metrics = TurnMetrics(registry)
    for wait in (0.4, DEAD_AIR_AFTER, DEAD_AIR_AFTER + 2):
        metrics.add(wait)
    assert registry.get_sample_value("agent_turns_total") == 3
    assert registry.get_sample_value("agent_dead_air_seconds_total") == pytest.approx(2)
    assert registry.get_sample_value("agent_wait_seconds_bucket", {"le": "0.4"}) == 1
