"""Runs a speech process: `python -m agent.speech.process --socket PATH MODEL...`.

It loads the models, listens on the socket, and writes one line to its standard output: `ready`, or
a sentence that says why it is not. It ends when its standard input is closed, so that it never
outlives the process that started it.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from agent.speech.process.child import READY
from agent.speech.process.models import Model, load_model
from agent.speech.process.server import listen, serve
from llm_router.errors import ConfigurationError


def load_models(names: Sequence[str], *, threads: int) -> Mapping[str, Model]:
    """Loads the models at the same time. Raises ConfigurationError if one cannot be loaded."""
    with ThreadPoolExecutor(len(names)) as loading:
        return dict(
            zip(names, loading.map(partial(load_model, threads=threads), names), strict=True)
        )


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
    logging.basicConfig(format="speech process: %(message)s", level=logging.WARNING)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        models = load_models(arguments.models, threads=cores or 1)
        listener = listen(arguments.socket)
    except (ConfigurationError, OSError) as error:
        print(error, flush=True)  # noqa: T201  for the process that started this one
        return 1
    print(READY, flush=True)  # noqa: T201  for the process that started this one
    asyncio.run(serve(models, listener, threads=cores or 1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
