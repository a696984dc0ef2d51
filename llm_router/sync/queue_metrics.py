"""How busy a server says it is: read out of its metrics. Pure."""

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
    """Requests, whoever's they are."""

    running: int
    waiting: int


def read_queue(text: str) -> Queue | None:
    """From Prometheus's text (vLLM, SGLang, llama.cpp), or llama.cpp's list of slots; None: neither
    says it. Of several models or engines behind one address, all.
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
    """Slots tell nothing of who waits; where all are taken, the next one will."""
    try:
        slots = json.loads(text)
    except (ValueError, RecursionError):
        return None
    told = [s["is_processing"] for s in slots if isinstance(s, Mapping) and "is_processing" in s]
    if not told:
        return None
    running = sum(map(bool, told))
    return Queue(running, int(running == len(told)))
