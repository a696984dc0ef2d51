"""Builds the web pages, the widget's and the console's, when their sources have changed.

As a program (`python -m deploy.page run check`) it passes its arguments to npm, in each folder.
"""

import os
import subprocess
import sys
from pathlib import Path

from deploy import console, paths, stamps, toolchain

SOURCE = paths.ROOT / "web" / "widget"
MODULES = SOURCE / "node_modules"
CONSOLE = paths.ROOT / "web" / "console"
_SOURCES = {SOURCE: "Web page", CONSOLE: "Console"}
"""The folders, in the order in which they are built: the console's build uses the page's."""
MADE = {"node_modules", "dist", "dist-gallery", "schema.d.ts"}
"""Files and folders that a build makes, in any folder."""


def build() -> None:
    """Brings the `dist` of each folder up to date with its sources."""
    for source in _SOURCES:
        install(source)
    for source, title in _SOURCES.items():
        _build(source, title)


def _build(source: Path, title: str) -> None:
    stamp = source / "node_modules" / ".page-stamp"
    inputs = stamps.digest_files(source, _files(source))
    if (source / "dist" / "index.html").exists() and stamps.is_fresh(stamp, inputs):
        console.say(f"{title}: up to date")
        return
    npm = toolchain.npm()
    with console.step(title) as step:
        stamp.unlink(missing_ok=True)
        remedy = f"correct the error that the log names in {source.relative_to(paths.ROOT)}"
        step.run([*npm, "run", "build"], cwd=source, environ=npm_environ(npm), remedy=remedy)
        stamps.write(stamp, inputs)


def install(source: Path) -> None:
    """Installs the packages of the folder's package-lock.json into its node_modules."""
    stamp = source / "node_modules" / ".lock-stamp"
    inputs = stamps.digest((source / "package-lock.json").read_bytes())
    if stamps.is_fresh(stamp, inputs):
        return
    npm = toolchain.npm()
    with console.step(f"Packages of web/{source.name}") as step:
        step.run(
            [*npm, "ci", "--no-audit", "--no-fund"],
            cwd=source,
            environ=npm_environ(npm),
            remedy="check that this machine reaches its npm registry (npm's own settings), and "
            "run it again",
        )
        stamps.write(stamp, inputs)


def _files(source: Path) -> list[Path]:
    return [
        file
        for file in source.rglob("*")
        if file.is_file() and not MADE.intersection(file.relative_to(source).parts)
    ]


def npm_environ(npm: list[Path]) -> dict[str, str]:
    """Returns the environment for npm: a PATH with its Node, and the system's certificates.

    npm's scripts need a shell, which a short PATH may lack. Node has its own list of certificate
    authorities, which may lack that of a proxy.
    """
    path = os.pathsep.join([str(npm[0].parent), os.environ.get("PATH", ""), os.defpath])
    return {"PATH": path, "NODE_USE_SYSTEM_CA": "1"}


def main() -> int:
    """Installs the packages, then runs npm in each folder with the given arguments.

    Returns the exit status of the first that fails.
    """
    try:
        for source in _SOURCES:
            install(source)
        npm = toolchain.npm()
    except console.StepError as error:
        console.say(error.report())
        return 1
    environ = {**os.environ, **npm_environ(npm)}
    command: list[Path | str] = [*npm, *sys.argv[1:]]
    for source in _SOURCES:
        done = subprocess.run(command, cwd=source, env=environ, check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
