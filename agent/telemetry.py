"""Exports the metrics and traces of the worker and its call processes."""

import fcntl
import os
from itertools import count
from pathlib import Path

from livekit.agents import telemetry
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import values

from agent.traces import open_traces

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_locks: list[int] = []
"""File descriptors of the slots that this process has locked; they are freed when it ends."""


def share_metrics(folder: Path) -> None:
    """Adds this process's series to those that the worker serves at its metrics port.

    Call it before the first series is made, in the worker and in each of its processes.

    prometheus-client would name a process's files by its id and never delete them; a worker that
    has had ten thousand calls would read ten thousand sets of files for each scrape. Here a process
    takes the lowest free slot and continues the counts of that slot's last process, so there are
    only as many files as there were processes at the same time.
    """
    slots = folder / "slots"
    slots.mkdir(parents=True, exist_ok=True)
    slot = next(number for number in count() if _take(slots / str(number)))
    os.environ[_FOLDER] = str(folder)
    values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]  # prometheus-client's own advice (its issue 509); the function has no types


def _take(slot: Path) -> bool:
    handle = os.open(slot, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    _locks.append(handle)
    return True


def send_traces(endpoint: str) -> TracerProvider:
    """Sends this process's traces, LiveKit's included, to a collector by OTLP over HTTP.

    Traces hold no words of the call: LiveKit removes them. Shut the provider down at the end, in a
    thread, or the last seconds of traces are lost.
    """
    provider = open_traces(endpoint, "patchbay-worker")
    telemetry.set_tracer_provider(provider, allow_pii=False)
    return provider
