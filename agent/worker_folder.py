"""Names the files that the processes of one worker share."""

import os
from pathlib import Path

from agent.load import LoadBoard
from agent.starts import Starts

FOLDER = "PATCHBAY_WORKER_FOLDER"
"""Environment variable that names the worker's folder, in which its call processes leave their load
and their metrics."""


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
