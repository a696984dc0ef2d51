"""The web page: built from web/widget when its sources have changed.

Run as a program (`python -m deploy.page run check`) it passes its words to npm.
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
    """Bring web/widget/dist up to date with its sources."""
    install()
    stamp = MODULES / ".page-stamp"
    inputs = stamps.digest_files(SOURCE, _sources())
    if (SOURCE / "dist" / "index.html").exists() and stamps.is_fresh(stamp, inputs):
        console.say("Web page: up to date")
        return
    npm = toolchain.npm()
    with console.step("Web page") as step:
        stamp.unlink(missing_ok=True)
        remedy = "mend what the log names in web/widget"
        step.run([*npm, "run", "build"], cwd=SOURCE, environ=npm_environ(npm), remedy=remedy)
        stamps.write(stamp, inputs)


def install() -> None:
    """Bring node_modules to package-lock.json."""
    stamp = MODULES / ".lock-stamp"
    inputs = stamps.digest((SOURCE / "package-lock.json").read_bytes())
    if stamps.is_fresh(stamp, inputs):
        return
    npm = toolchain.npm()
    with console.step("Web packages") as step:
        step.run(
            [*npm, "ci", "--no-audit", "--no-fund"],
            cwd=SOURCE,
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
    """Return what npm needs: in its scripts the Node it runs on, and whom this machine trusts.

    Its scripts want a shell, which a short PATH may lack. Node brings its own list of certificate
    authorities, and a machine behind a proxy has another.
    """
    path = os.pathsep.join([str(npm[0].parent), os.environ.get("PATH", ""), os.defpath])
    return {"PATH": path, "NODE_USE_SYSTEM_CA": "1"}


def main() -> int:
    """Run npm in web/widget with the words given, its packages installed first."""
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
