"""Builds the web page from web/widget when its sources have changed.

As a program (`python -m deploy.page run check`) it passes its arguments to npm.
"""

import os
import subprocess
import sys
from pathlib import Path

from deploy import console, paths, stamps, toolchain

SOURCE = paths.ROOT / "web" / "widget"
MODULES = SOURCE / "node_modules"
MADE = {"node_modules", "dist"}


def build() -> None:
    """Brings web/widget/dist up to date with its sources."""
    install()
    stamp = MODULES / ".page-stamp"
    inputs = stamps.digest_files(SOURCE, _sources())
    if (SOURCE / "dist" / "index.html").exists() and stamps.is_fresh(stamp, inputs):
        console.say("Web page: up to date")
        return
    npm = toolchain.npm()
    with console.step("Web page") as step:
        stamp.unlink(missing_ok=True)
        remedy = "correct the error that the log names in web/widget"
        step.run([*npm, "run", "build"], cwd=SOURCE, environ=npm_environ(npm), remedy=remedy)
        stamps.write(stamp, inputs)


def install(source: Path = SOURCE) -> None:
    """Installs the packages of the folder's package-lock.json into its node_modules."""
    stamp = source / "node_modules" / ".lock-stamp"
    inputs = stamps.digest((source / "package-lock.json").read_bytes())
    if stamps.is_fresh(stamp, inputs):
        return
    npm = toolchain.npm()
    with console.step("Web packages") as step:
        step.run(
            [*npm, "ci", "--no-audit", "--no-fund"],
            cwd=source,
            environ=npm_environ(npm),
            remedy="check that this machine reaches its npm registry (npm's own settings), and "
            "run it again",
        )
        stamps.write(stamp, inputs)


def _sources() -> list[Path]:
    return [
        file
        for file in SOURCE.rglob("*")
        if file.is_file() and file.relative_to(SOURCE).parts[0] not in MADE
    ]


def npm_environ(npm: list[Path]) -> dict[str, str]:
    """Returns the environment for npm: a PATH with its Node, and the system's certificates.

    npm's scripts need a shell, which a short PATH may lack. Node has its own list of certificate
    authorities, which may lack that of a proxy.
    """
    path = os.pathsep.join([str(npm[0].parent), os.environ.get("PATH", ""), os.defpath])
    return {"PATH": path, "NODE_USE_SYSTEM_CA": "1"}


def main() -> int:
    """Installs the packages, then runs npm in web/widget with the given arguments."""
    try:
        install()
        npm = toolchain.npm()
    except console.StepError as error:
        console.say(error.report())
        return 1
    environ = {**os.environ, **npm_environ(npm)}
    command: list[Path | str] = [*npm, *sys.argv[1:]]
    return subprocess.run(command, cwd=SOURCE, env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
