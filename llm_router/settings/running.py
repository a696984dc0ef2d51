"""Finds the demo that runs on this machine, whose settings a command in another terminal lacks."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from llm_router.settings.field_types import STATE_FOLDER, expand_user

FILE = STATE_FOLDER / "demo.json"
"""File that the demo writes, and holds locked as long as it runs."""


@dataclass(frozen=True, slots=True)
class RunningDemo:
    """The demo's web address, the folder it runs in, and its settings by variable."""

    address: str
    folder: str
    variables: Mapping[str, str] = field(repr=False)

    def adopt(self) -> None:
        """Gives this process the demo's folder and settings; its own variables take precedence."""
        os.chdir(self.folder)
        for name, value in self.variables.items():
            if not os.environ.get(name):
                os.environ[name] = value


def find_demo(file: Path = FILE) -> RunningDemo | None:
    """Returns the running demo; None if there is none, or its file is unreadable."""
    try:
        with expand_user(file).open(encoding="utf-8") as opened:
            if not _is_locked(opened.fileno()):
                return None
            about = json.load(opened)
        variables = {str(name): str(value) for name, value in about["variables"].items()}
        return RunningDemo(str(about["address"]), str(about["folder"]), variables)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _is_locked(descriptor: int) -> bool:
    if sys.platform == "win32":  # where the demo does not run
        return False
    import fcntl  # noqa: PLC0415  Windows has none

    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
