"""Provides llama.cpp's own tests of its server, which come with the source of llama-cpp-python."""

import re
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from deploy import console, environments, paths, toolchain

_FOLDER = "tools/server/tests"
_SOURCE = "llama-cpp-python"


def suite() -> tuple[Path, Path]:
    """Returns the Python of the suite's environment and the suite's folder.

    The first call installs them.
    """
    python = environments.provide("llama-cpp-suite", "llama.cpp's tests", finish=_add_tests)
    return python, _folder(python.parents[1])


def _folder(environment: Path) -> Path:
    return environment / "suite"


def _add_tests(packages: Path) -> None:
    """Takes the tests out of the source, whose hash the lock of the engine has."""
    environment = packages.parents[2]
    lock = (paths.LOCKS / f"{_SOURCE}.lock").read_text(encoding="utf-8")
    pinned = re.search(rf"^{_SOURCE}==.*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    assert pinned
    with TemporaryDirectory() as folder, console.step("llama.cpp's tests") as step:
        wanted = Path(folder) / "source.txt"
        wanted.write_text(pinned[0], encoding="utf-8")
        step.run(
            [
                environment / "bin" / "python", "-m", "pip", "download", "--requirement", wanted,
                "--require-hashes", "--no-deps", "--no-build-isolation", "--dest", folder,
            ],
            remedy=toolchain.OFFLINE,
        )  # fmt: skip
        [source] = Path(folder).glob("*.tar.gz")
        with tarfile.open(source) as archive:
            for member in archive.getmembers():
                _, found, rest = member.name.partition(f"/{_FOLDER}/")
                if found:
                    member.name = rest
                    archive.extract(member, _folder(environment), filter="data")
