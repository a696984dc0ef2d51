"""Names the files that the processes of one worker share."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.load import LoadBoard
from agent.starts import Starts

FOLDER = "PATCHBAY_WORKER_FOLDER"
"""Environment variable that names the worker's folder, in which its call processes leave their load
and their metrics."""


_PREFIX = "patchbay-worker-"
_BOXES = "calls"
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
    for folder in _own_folders(parent):
        with suppress(OSError), (folder / _LOCKED).open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)


def _own_folders(parent: Path | None) -> Iterator[Path]:
    """Yields the folders of this user's workers, dead ones included."""
    for folder in (parent or Path(tempfile.gettempdir())).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # it goes at this moment
            if not folder.is_symlink() and folder.stat().st_uid == os.getuid():
                yield folder


def _is_abandoned(folder: Path) -> bool:
    """Returns whether its worker is dead: neither alive nor just starting or ending."""
    try:
        with (folder / _LOCKED).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # several may ask at a time
    except OSError:
        return False
    return True


def load_board() -> LoadBoard:
    """Opens the board on which this worker's call processes report their load."""
    return LoadBoard(Path(os.environ[FOLDER]) / "load")


def call_starts() -> Starts:
    """Opens the files in which this worker's call processes report that they have come up."""
    return Starts(Path(os.environ[FOLDER]) / "starts")


def black_box(job: str) -> Path:
    """Returns the file in which the process of LiveKit's job leaves how far its call is."""
    return Path(os.environ[FOLDER]) / _BOXES / job


def black_box_of_any(job: str, parent: Path | None = None) -> Path | None:
    """Returns that file of a job of any worker of this user on this machine; None: there is none.

    `parent`: None for the system's temporary folder.
    """
    boxes = (folder / _BOXES / job for folder in _own_folders(parent))
    return next((box for box in boxes if box.is_file()), None)


def abandoned_boxes(parent: Path | None = None) -> Mapping[str, Path]:
    """Returns the files of dead workers of this user on this machine, by job.

    `parent`: None for the system's temporary folder.
    """
    dead = [folder for folder in _own_folders(parent) if _is_abandoned(folder)]
    return {box.name: box for folder in dead for box in (folder / _BOXES).glob("*")}


def metrics_folder() -> Path:
    """Returns the folder in which this worker's processes keep their metrics."""
    return Path(os.environ[FOLDER]) / "metrics"
