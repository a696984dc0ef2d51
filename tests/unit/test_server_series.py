"""Tests how the series of model servers are written anew, and what is left out of them."""

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from llm_router.telemetry.server_series import MOST_SERIES, relabel

VLLM = """\
# HELP python_gc_objects_collected_total Objects collected during gc
# TYPE python_gc_objects_collected_total counter
python_gc_objects_collected_total{generation="0"} 10757.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="qwen"} 2.0
# HELP vllm:time_to_first_token_seconds Histogram of time to first token in seconds.
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{le="0.5",model_name="qwen"} 3.0
vllm:time_to_first_token_seconds_bucket{le="+Inf",model_name="qwen"} 4.0
vllm:time_to_first_token_seconds_count{model_name="qwen"} 4.0
vllm:time_to_first_token_seconds_sum{model_name="qwen"} 1.25e+00 1700000000000
"""


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Reads a page as Prometheus's own client does, which raises for one that is wrong."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def only(line: str) -> dict[str, str]:
    """Returns the labels of the one series that a line becomes; empty if it is left out."""
    found = [*samples(relabel([("desk", line)]))]
    return dict(found[0][1]) if found else {}


def test_each_series_names_its_connection_and_families_stay_together() -> None:
    page = relabel([("desk", VLLM), ('the "attic"\\', VLLM)])
    found = samples(page)
    for name in ("desk", 'the "attic"\\'):
        queue = {("connection", name), ("engine", "0"), ("model_name", "qwen")}
        assert found["vllm:num_requests_waiting", frozenset(queue)] == 2.0
        times = {("connection", name), ("model_name", "qwen")}
        assert found["vllm:time_to_first_token_seconds_sum", frozenset(times)] == 1.25
    assert page.count("# TYPE vllm:time_to_first_token_seconds histogram\n") == 1
    assert len(found) == 10
    assert "python_gc" not in page


@pytest.mark.parametrize(
    "line",
    [
        'router_replies_total{outcome="answered"} 5',
        "process_cpu_seconds_total 5",
        'vllm:x{a="1" 5',
        "vllm:x{a=1} 5",
        'vllm:x{a="1",a="2"} 5',
        'vllm:x{connection="a",exported_connection="b"} 5',
        'vllm:x{a="\\q"} 5',
        "vllm:x five",
        "vllm:x 1_000",
        "vllm:x",
        "vllm:x 5 5 5",
        "vllm:x y{} 5",
        f'vllm:x{{a="{"b" * 4_000}"}} 5',
    ],
)
def test_a_line_that_is_wrong_or_poses_as_ours_is_left_out(line: str) -> None:
    assert only(line) == {}
    assert samples(relabel([("desk", f"{line}\n{VLLM}")])) == samples(relabel([("desk", VLLM)]))


def test_a_server_cannot_pose_as_another_connection() -> None:
    said = only('vllm:x{connection="attic"} 5')
    assert said == {"connection": "desk", "exported_connection": "attic"}


def test_what_a_label_may_hold_is_passed_on() -> None:
    said = only('vllm:x{a="} 1\\n\\"x\\\\",b="\u2028",} NaN')
    assert said == {"connection": "desk", "a": '} 1\n"x\\', "b": "\u2028"}
    [value] = samples(relabel([("desk", 'vllm:x{a="} 1"} +Inf')])).values()
    assert value == math.inf


def test_a_repeated_series_counts_once_and_another_type_does_not_count() -> None:
    gauge = "# TYPE vllm:x gauge\nvllm:x 1\nvllm:x 2\n"
    counter = "# TYPE vllm:x histogram\nvllm:x 7\n"
    assert [*samples(relabel([("desk", gauge), ("attic", counter)])).values()] == [2.0]


def test_series_are_bounded_for_a_server_and_in_all() -> None:
    many = "\n".join(f'vllm:x{{a="{number}"}} 1' for number in range(10_500))
    assert relabel([("desk", many)]).count("vllm:x{") == 10_000
    assert relabel([(f"c{n}", many) for n in range(6)]).count("vllm:x{") == MOST_SERIES
