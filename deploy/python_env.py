"""Makes the virtual environment .venv from the lock file, each hash checked, with the projects."""

import sys
from pathlib import Path

from deploy import console, paths, stamps, toolchain

STAMPS = paths.VENV / ".stamps"


def install() -> None:
    """Installs requirements.lock into .venv, and the two projects as editable installs."""
    _install_locked("requirements.lock", "Python packages")
    _install_project()


def install_neural() -> None:
    """Installs the packages that run the default speech models."""
    _install_locked("requirements-neural.lock", "Speech packages", size="130 MB to download, once")


def install_terminal() -> None:
    """Installs the packages of `llm-router chat`."""
    _install_locked("requirements-terminal.lock", "Terminal packages")
    _install_project()


def install_dev() -> None:
    """Installs the packages for development as well: linters, types, tests."""
    _install_locked("requirements-dev.lock", "Development packages")
    _install_project()


def _install_locked(lock_name: str, title: str, size: str = "") -> None:
    lock = paths.ROOT / lock_name
    stamp = STAMPS / lock_name
    inputs = stamps.digest(_python_id(), lock.read_bytes())
    if paths.VENV_PYTHON.exists() and stamps.is_fresh(stamp, inputs):
        console.say(f"{title}: up to date")
        return
    if size:
        console.say(f"{title}: {size}")
    with console.step(title) as step:
        _ensure_venv(step)
        _pip(step, "--require-hashes", "--requirement", lock)
        stamps.write(stamp, inputs)


def _install_project() -> None:
    """Registers the checkout in .venv, so that its packages are importable from any folder."""
    folders = (paths.ROOT / "llm_router", paths.ROOT)
    stamp = STAMPS / "project"
    projects = [(folder / "pyproject.toml").read_bytes() for folder in folders]
    inputs = stamps.digest(_python_id(), str(paths.ROOT), *projects)
    if stamps.is_fresh(stamp, inputs):
        return
    with console.step("Patchbay itself") as step:
        for folder in folders:
            _pip(step, "--no-deps", "--no-build-isolation", "--editable", folder)
        stamps.write(stamp, inputs)


def _ensure_venv(step: console.Step) -> None:
    """Makes .venv, again if it belongs to another Python or is incomplete."""
    stamp = STAMPS / "python"
    if paths.VENV_PYTHON.exists() and stamps.is_fresh(stamp, _python_id()):
        return
    toolchain.make_venv(paths.VENV, step, clear=True)
    stamps.write(stamp, _python_id())


def _pip(step: console.Step, *arguments: str | Path) -> None:
    quiet = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    step.run(
        [paths.VENV_PYTHON, "-m", "pip", "install", *quiet, *arguments],
        remedy=f"{toolchain.OFFLINE}; packages installed so far stay installed",
    )


def _python_id() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor} {sys.base_prefix}"
