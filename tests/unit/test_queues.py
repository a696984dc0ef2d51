"""Queue lengths read from a server's metrics, and the wait that they predict."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.routing.latency import behind
from llm_router.sync.queue_metrics import Queue, read_queue

VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="Qwen/Qwen3-4B"} 3.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="Qwen/Qwen3-4B"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="Qwen/Qwen3-4B"} 0.4
"""
LLAMA_CPP = """\
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 1
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 4
"""


@pytest.mark.parametrize(
    ("text", "queue"),
    [
        (VLLM, Queue(3, 2)),
        (LLAMA_CPP, Queue(1, 4)),
        (VLLM + VLLM.replace('engine="0"', 'engine="1"'), Queue(6, 4)),
        ("sglang:num_running_reqs{a='b'} 1\nsglang:num_queue_reqs{a='b'} 7", Queue(1, 7)),
        ("vllm:num_requests_waiting 1.0 1700000000000\r\n", Queue(0, 1)),
        ("vllm:num_requests_waiting NaN", None),
        ("vllm:num_requests_waiting -1", None),
        ("vllm:num_requests_waiting_total 5", None),
        ("<html>not here</html>", None),
        ("", None),
    ],
)
def test_a_queue_is_read_from_metrics(text: str, queue: Queue | None) -> None:
    assert read_queue(text) == queue


@pytest.mark.parametrize(
    ("busy", "queue"),
    [
        ([True, False], Queue(1, 0)),
        ([True, True], Queue(2, 1)),
        ([False], Queue(0, 0)),
        ([], None),
    ],
)
def test_slots_of_llama_cpp_count_as_a_queue_when_all_are_busy(
    busy: list[bool], queue: Queue | None
) -> None:
    assert read_queue(json.dumps([{"id": 0, "is_processing": is_} for is_ in busy])) == queue


@given(st.text())
def test_no_text_of_a_server_raises(text: str) -> None:
    for said in (text, f"[{text}", f"vllm:num_requests_waiting {text}"):
        queue = read_queue(said)
        assert queue is None or queue.waiting >= 0


def test_the_wait_grows_with_the_queue() -> None:
    assert behind(0.3, 0) == 0.3
    assert behind(0.3, 3) == pytest.approx(1.2)
    assert behind(float("inf"), 2) == float("inf")
