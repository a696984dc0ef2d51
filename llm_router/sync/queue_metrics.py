"""Reads the length of a server's request queue out of its metrics. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

_RUNNING = frozenset(
    {"vllm:num_requests_running", "sglang:num_running_reqs", "llamacpp:requests_processing"}
)
_WAITING = frozenset(
    {"vllm:num_requests_waiting", "sglang:num_queue_reqs", "llamacpp:requests_deferred"}
)
_SAMPLE = re.compile(
    r"^(?P<name>[\w:]+)(?:\{.*\})?\s+(?P<value>[-+.\deE]+)(?:\s+\d+)?\s*$", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Queue:
    """Requests of all clients: those that are being answered, and those that wait."""

    running: int
    waiting: int


def read_queue(text: str) -> Queue | None:
    """Reads Prometheus's text format (vLLM, SGLang, llama.cpp) or llama.cpp's list of slots.

    Returns the sum over all models and engines at the address, or None if the text shows no queue.
    """
    if text.lstrip().startswith("["):
        return _from_slots(text)
    running, waiting = 0.0, 0.0
    found = False
    for line in text.splitlines():
        sample = _SAMPLE.match(line)
        if sample is None or sample["name"] not in _RUNNING | _WAITING:
            continue
        try:
            value = float(sample["value"])
        except ValueError:
            continue
        if not 0 <= value < float("inf"):
            continue
        found = True
        if sample["name"] in _RUNNING:
            running += value
        else:
            waiting += value
    return Queue(int(running), int(waiting)) if found else None


def _from_slots(text: str) -> Queue | None:
    """Counts busy slots. They do not show how many requests wait: 1 if all are busy, else 0."""
    try:
        slots = json.loads(text)
    except (ValueError, RecursionError):
        return None
    busy = [s["is_processing"] for s in slots if isinstance(s, Mapping) and "is_processing" in s]
    if not busy:
        return None
    running = sum(map(bool, busy))
    return Queue(running, int(running == len(busy)))
