"""Serves a speech process on a Unix socket."""

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import uvicorn

from agent.speech.process.app import make_app
from agent.speech.process.models import Model
from agent.speech.process.threads import Threads
from llm_router.clock import SystemClock

MOST_WAITING = 64
_KEEP_ALIVE = 3_600
"""Seconds for which a call's idle connection stays open."""
_STUCK = 70
"""Status of a process that ended because a model never came to an end."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals alone: the end of the standard input ends the process."""
        yield


async def serve(
    models: Mapping[str, Model],
    listener: socket.socket,
    *,
    threads: int,
    most_waiting: int = MOST_WAITING,
    faults: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Serves the models on the socket until it is cancelled.

    `threads`: steps of work at a time. `most_waiting`: requests that may wait for their turn.
    `faults`: why a model is not served, by its name.
    """
    clock = SystemClock()
    working = Threads(threads, most_waiting, clock, on_stuck=_end_at_once)
    config = uvicorn.Config(
        make_app(models, faults, working, clock),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",  # a failure's text may hold the caller's words
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE,
    )
    server = _Server(config)
    try:
        await server.serve([listener])
    finally:
        server.force_exit = True  # or it would wait for the clients' idle connections
        await server.shutdown([listener])
        working.close()


def _end_at_once() -> None:
    """Ends the process, which the supervisor starts again: a thread of it will never end."""
    os._exit(_STUCK)


def listen(path: Path) -> socket.socket:
    """Listens on a Unix socket at the path, in place of an earlier one there."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener
