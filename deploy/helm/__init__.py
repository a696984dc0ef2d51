"""Provides helm, which renders the chart beside this file: from PATH, else built once."""

import shutil
from pathlib import Path

from deploy import console, engines, paths, stamps, toolchain

CHART = Path(__file__).with_name("patchbay")
MODULE = paths.ROOT / "deploy" / "tools" / "helm"
_PACKAGE = "helm.sh/helm/v4/cmd/helm"


def provide() -> Path:
    """Returns the program `helm`. Raises StepError if it cannot be built."""
    version = engines.pinned(MODULE / "go.mod", "helm.sh/helm/v4 v")
    found = shutil.which("helm")
    if found and toolchain.version_of(found, "version") >= toolchain.parse_version(version):
        return Path(found)
    program = paths.cache_folder() / "helm" / version / "helm"
    if program.exists():
        return program
    console.say("helm takes 2 minutes and 0.1 GB, once")
    with console.step("helm") as step, stamps.staged(program.parent) as staging:
        toolchain.build_go(
            _PACKAGE,
            staging / program.name,
            step,
            module=MODULE,
            go=toolchain.parse_version(engines.pinned(MODULE / "go.mod", "\ngo ")),
            environ={"CGO_ENABLED": "0"},
            instead="put helm on PATH",
        )
    return program
