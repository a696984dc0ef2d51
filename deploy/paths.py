"""Paths in the checkout and in the user's cache."""

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
LOCKS = ROOT / "deploy" / "locks"


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Returns Patchbay's folder in the user's cache, which may not exist yet.

    XDG_CACHE_HOME is ignored unless absolute, as its specification demands.
    """
    cache = Path(environ.get("XDG_CACHE_HOME", ""))
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "patchbay"


def state_folder() -> Path:
    """Returns the folder of files that persist, as the settings have it; it may not exist yet."""
    return Path.home() / ".local" / "state" / "patchbay"


def logs_folder(name: str) -> Path:
    """Makes and returns the folder for one kind of logs."""
    folder = cache_folder() / "logs" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
