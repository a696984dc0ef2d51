"""Runs a speech process: `python -m agent.speech.process --socket PATH MODEL...`.

It loads the models, listens on the socket, and writes one line to its standard output: `ready`, or
a sentence that says why it is not. A model that does not load is left out, and its reason goes to
the standard error output; if none loads, the process ends. It ends when its standard input is
closed, so that it never outlives the process that started it.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agent.log_format import LOG_FORMAT, log_to_stderr
from agent.speech.process.child import READY
from agent.speech.process.models import Model, load_model
from agent.speech.process.server import listen, serve
from llm_router.errors import ConfigurationError

_log = logging.getLogger(__name__)


def load_models(names: Sequence[str], *, threads: int) -> tuple[dict[str, Model], dict[str, str]]:
    """Loads the models at the same time.

    Returns those that have loaded, and why each of the others has not, by their names.
    """

    def load(name: str) -> Model | str:
        try:
            return load_model(name, threads=threads)
        except ConfigurationError as error:
            return str(error)

    with ThreadPoolExecutor(len(names)) as loading:
        loaded = dict(zip(names, loading.map(load, names), strict=True))
    models = {name: one for name, one in loaded.items() if not isinstance(one, str)}
    faults = {name: one for name, one in loaded.items() if isinstance(one, str)}
    return models, faults


def end_with_parent() -> None:
    """Ends this process, from a thread, once its standard input is closed."""

    def wait() -> None:
        # Not by sys.stdin: Python cannot end while a thread waits in that.
        while os.read(0, 1):
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True, name="end-with-parent").start()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m agent.speech.process",
        description="Loads speech models and serves them on a Unix socket, until its standard input"
        " is closed. A worker, or an engine without one, starts it by itself.",
    )
    parser.add_argument(
        "--socket", type=Path, required=True, help="path of the Unix socket to listen on"
    )
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="<kind>:<source>, such as whisper:/models/whisper-tiny.en",
    )
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the worker, which lets calls end
    end_with_parent()
    log_to_stderr("WARNING", os.environ.get(LOG_FORMAT, ""), "speech process: %(message)s")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    models, faults = load_models(arguments.models, threads=cores or 1)
    if not models:
        print("; ".join(faults.values()), flush=True)  # noqa: T201  for the process that started this one
        return 1
    try:
        listener = listen(arguments.socket)
    except OSError as error:
        print(error, flush=True)  # noqa: T201  for the process that started this one
        return 1
    for fault in faults.values():
        _log.warning("%s; an embedded engine takes its place", fault)
    print(READY, flush=True)  # noqa: T201  for the process that started this one
    asyncio.run(serve(models, listener, threads=cores or 1, faults=faults))
    return 0


if __name__ == "__main__":
    sys.exit(main())
