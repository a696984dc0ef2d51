"""Environments of their own for peers that would not live beside our packages.

Made when they are first asked for, from `deploy/locks/<name>.lock`, every hash checked; kept in the
user's cache. A renewed lock makes a new one.
"""

import sys
from pathlib import Path

from deploy import console, places, stamps, toolchain

_QUIET = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]


def python_of(name: str | None) -> Path:
    """The Python of that environment; ours for None. Raises console.StepError, with advice, when it
    cannot be made.
    """
    if name is None:
        return Path(sys.executable)
    lock = places.LOCKS / f"{name}.lock"
    inputs = stamps.digest(f"{sys.version_info[:2]} {sys.base_prefix}", lock.read_bytes())
    folder = places.cache_folder() / "peers" / f"{name}-{inputs[:16]}"
    python, stamp = folder / "bin" / "python", folder / ".stamp"
    if not stamps.is_fresh(stamp, inputs):
        with console.step(f"An environment for {name}") as step:
            toolchain.make_venv(folder, step, clear=True)
            step.run(
                [
                    python,
                    "-m",
                    "pip",
                    "install",
                    *_QUIET,
                    "--require-hashes",
                    "--requirement",
                    lock,
                ],
                remedy=f"{toolchain.OFFLINE}, or leave this peer out (--contenders)",
            )
            stamps.write(stamp, inputs)
    return python
