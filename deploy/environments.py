"""Environments of their own for packages that would not live beside ours: peers, model engines.

Made when they are first asked for, from `deploy/locks/<name>.lock`, every hash checked; kept in the
user's cache. A renewed lock makes a new one. Where a package comes as source, what builds it stands
in `<name>-build.lock`.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from deploy import console, paths, stamps, toolchain

_QUIET = ("--disable-pip-version-check", "--no-input", "--progress-bar", "off")
_OPTIONS = (*_QUIET, "--require-hashes", "--no-deps", "--no-build-isolation")
"""A lock names everything, and an isolated build would ask for tools that none has pinned."""
_BUILD_FOR_ANY = {"CMAKE_ARGS": "-DGGML_NATIVE=OFF"}
"""llama.cpp for any machine of this architecture, since a cache may move to another one."""


def provide(
    name: str,
    title: str,
    *,
    takes: str = "",
    instead: str = "",
    finish: Callable[[Path], object] = lambda _: None,
) -> Path:
    """Return the Python of that environment, making it, which `takes` so much, if there is none.

    `finish` may change what was installed: it is given the site-packages. Raises StepError when it
    cannot be made; `instead` is what else the person could do.
    """
    lock, build_lock = (paths.LOCKS / f"{name}{which}.lock" for which in ("", "-build"))
    inputs = stamps.digest(
        f"{sys.version_info[:2]} {sys.base_prefix}",
        lock.read_bytes(),
        build_lock.read_bytes() if build_lock.exists() else b"",
    )
    folder = paths.cache_folder() / "environments" / f"{name}-{inputs[:16]}"
    python, stamp = folder / "bin" / "python", folder / ".stamp"
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
