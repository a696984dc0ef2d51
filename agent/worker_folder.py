"""Names the files that the processes of one worker share."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.load import LoadBoard
from agent.starts import Starts

FOLDER = "PATCHBAY_WORKER_FOLDER"
"""Environment variable that names the worker's folder, in which its call processes leave their load
and their metrics."""


_PREFIX = "patchbay-worker-"
_LOCKED = "worker"
"""File in the folder that its worker holds locked, until it ends or dies."""


@contextmanager
def worker_folder(parent: Path | None = None) -> Iterator[Path]:
    """Makes a worker's folder for the block, and removes those of workers that were killed.

    Their black boxes hold words of callers. `parent`: None for the system's temporary folder.
    """
    parent = parent or Path(tempfile.gettempdir())
    _remove_abandoned(parent)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent) as name:
        folder = Path(name)
        unlocked = folder / "starting"
        with unlocked.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            unlocked.rename(folder / _LOCKED)  # never seen unlocked by another worker
            yield folder


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with (folder / _LOCKED).open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
        except OSError:  # its worker lives, or is just starting or ending
            continue


def load_board() -> LoadBoard:
    """Opens the board on which this worker's call processes report their load."""
    return LoadBoard(Path(os.environ[FOLDER]) / "load")


def call_starts() -> Starts:
    """Opens the files in which this worker's call processes report that they have come up."""
    return Starts(Path(os.environ[FOLDER]) / "starts")


def black_box(process: int) -> Path:
    """Returns the file in which a call process of this worker leaves how far its call is."""
    return Path(os.environ[FOLDER]) / "calls" / str(process)


def metrics_folder() -> Path:
    """Returns the folder in which this worker's processes keep their metrics."""
    return Path(os.environ[FOLDER]) / "metrics"
