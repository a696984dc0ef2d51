"""Makes virtual environments for packages that conflict with ours: peers, model engines.

Each is made at its first use, from `deploy/locks/<name>.lock` with every hash checked, in the
user's cache. A renewed lock makes a new one. For packages that come as source, the packages that
build them are in `<name>-build.lock`.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from deploy import console, paths, stamps, toolchain

_QUIET = ("--disable-pip-version-check", "--no-input", "--progress-bar", "off")
_OPTIONS = (*_QUIET, "--require-hashes", "--no-deps", "--no-build-isolation")
"""The lock is complete, and an isolated build would download tools that are not pinned."""
_BUILD_FOR_ANY = {"CMAKE_ARGS": "-DGGML_NATIVE=OFF"}
"""Builds llama.cpp for every machine of this architecture: a cache may move to another one."""


def provide(
    name: str,
    title: str,
    *,
    takes: str = "",
    instead: str = "",
    finish: Callable[[Path], object] = lambda _: None,
) -> Path:
    """Returns the Python of that environment, and makes it first if there is none.

    `takes` says how long that takes. `finish` may change the installed packages: it is called with
    their folder. Raises StepError if it cannot be made; `instead` is an alternative for the person.
    """
    lock = paths.LOCKS / f"{name}.lock"
    build_lock = paths.LOCKS / f"{name}-build.lock"
    inputs = stamps.digest(
        f"{sys.version_info[:2]} {sys.base_prefix}",
        lock.read_bytes(),
        build_lock.read_bytes() if build_lock.exists() else b"",
    )
    folder = paths.cache_folder() / "environments" / f"{name}-{inputs[:16]}"
    python = folder / "bin" / "python"
    stamp = folder / ".stamp"
    if stamps.is_fresh(stamp, inputs):
        return python
    if takes:
        console.say(f"{title} takes {takes}, once")
    with console.step(title) as step:
        toolchain.make_venv(folder, step, clear=True)
        if build_lock.exists():
            _install(build_lock, python, step, instead)
        _install(lock, python, step, instead)
        finish(next((folder / "lib").glob("python*")) / "site-packages")
        stamps.write(stamp, inputs)
    return python


def _install(lock: Path, python: Path, step: console.Step, instead: str) -> None:
    step.run(
        [python, "-m", "pip", "install", *_OPTIONS, "--requirement", lock],
        environ=_BUILD_FOR_ANY,
        remedy=", or ".join(filter(None, [toolchain.OFFLINE, instead])),
    )
