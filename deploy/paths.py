"""Where things lie: the checkout, and the cache that outlives it."""

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
LOCKS = ROOT / "deploy" / "locks"


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return Patchbay's folder in the user's cache, which may not exist yet.

    XDG_CACHE_HOME counts only as an absolute path, as its specification demands.
    """
    named = Path(environ.get("XDG_CACHE_HOME", ""))
    return (named if named.is_absolute() else Path.home() / ".cache") / "patchbay"


def logs_folder(name: str) -> Path:
    """Return (and make) the folder for one kind of logs."""
    folder = cache_folder() / "logs" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
