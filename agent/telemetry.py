"""What the worker and its call processes tell Prometheus and OpenTelemetry."""

import fcntl
import os
from itertools import count
from pathlib import Path

from livekit.agents import telemetry
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import values

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_held: list[int] = []
"""Locks on the slots that this process has taken; the system lets go of them when it ends."""


def share_metrics(folder: Path) -> None:
    """Make this process's series come out at the worker's metrics port, added to the others'.

    Call it before the first series is made, in the worker and in each of its processes.

    prometheus-client would name the files of a process after its number and keep them for ever; a
    worker that has taken ten thousand calls would read ten thousand sets of files each time it is
    asked. Here a process takes the lowest slot that nobody holds and counts on where the slot's
    last holder stopped, so there are as many files as there were processes at once.
    """
    slots = folder / "slots"
    slots.mkdir(parents=True, exist_ok=True)
    slot = next(number for number in count() if _take(slots / str(number)))
    os.environ[_FOLDER] = str(folder)
    values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]  # their own way (client_python issue 509), untyped


def _take(slot: Path) -> bool:
    handle = os.open(slot, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    _held.append(handle)
    return True


def send_traces(endpoint: str) -> TracerProvider:
    """Send this process's traces, LiveKit's and ours, to a collector that speaks OTLP over HTTP.

    Without what was said: LiveKit takes the words out. Shut the provider down at the end, in a
    thread, or the last seconds are lost.
    """
    provider = TracerProvider(resource=Resource.create({"service.name": "patchbay-worker"}))
    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    telemetry.set_tracer_provider(provider, allow_pii=False)
    return provider
