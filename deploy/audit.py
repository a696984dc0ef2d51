"""Lists what Patchbay consists of, and what is known to be wrong with it.

`python -m deploy.audit sbom` writes bills of materials (CycloneDX) into `sbom/`: of the Python
packages and of the web pages. `python -m deploy.audit advisories` compares the locked Python
packages with OSV's advisories: over the network, or with a stored copy that ADVISORIES names.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import advisories, console, environments, page, paths, toolchain
from deploy.console import StepError
from deploy.setup import report_failures

SHIPPED = ("requirements.lock", "requirements-neural.lock")
"""The lock files of what an installation consists of."""
_SBOM = paths.ROOT / "sbom"
_PAGES = {"widget": page.SOURCE, "console": page.CONSOLE}
_ONLINE = "https://api.osv.dev/v1/query"


@dataclass(frozen=True, slots=True)
class Finding:
    """A package that an advisory names. `fixed`: the versions without the fault."""

    package: str
    version: str
    id: str
    fixed: tuple[str, ...]
    summary: str


def write_sboms(folder: Path = _SBOM) -> list[Path]:
    """Writes the bills of materials and returns their files."""
    folder.mkdir(exist_ok=True)
    python = _tools()
    made = []
    for lock in SHIPPED:
        file = folder / f"python-{Path(lock).stem}.cdx.json"
        command: list[str | Path] = [python, "-m", "cyclonedx_py", "requirements"]
        command += [paths.ROOT / lock, "--pyproject", "pyproject.toml"]
        command += ["--output-reproducible", "--output-file", file]
        with console.step(f"SBOM of {lock}") as step:
            step.run(command, remedy="correct what the log names")
        made.append(file)
    npm = toolchain.npm()
    for name, source in _PAGES.items():
        file = folder / f"web-{name}.cdx.json"
        command = [*npm, "sbom", "--package-lock-only", "--sbom-format", "cyclonedx"]
        done = subprocess.run(
            command, cwd=source, env=page.npm_environ(npm), capture_output=True, check=False
        )
        if done.returncode:
            raise StepError(f"npm sbom of web/{name} failed", done.stderr.decode(errors="replace"))
        file.write_bytes(done.stdout)
        made.append(file)
    return made


def find_advisories(lock: Path, copy: Path | None) -> list[Finding]:
    """Returns what OSV knows of the packages in a lock file.

    `copy`: the stored advisories; None: over the network. Raises StepError where there is no
    answer, so that no silence is taken for a clean result.
    """
    source = advisories.served(advisories.read(copy)) if copy else nullcontext(_ONLINE)
    with source as url:
        command: list[str | Path] = [
            _tools(),
            "-m",
            "pip_audit",
            "--requirement",
            lock,
            "--require-hashes",
        ]
        command += ["--disable-pip", "--vulnerability-service", "osv", "--osv-url", url]
        command += ["--format", "json", "--progress-spinner", "off"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return findings(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError) as error:
        raise StepError(
            f"{lock.name}: the advisories could not be read: {_last_line(done.stderr)}",
            "run it where api.osv.dev is reached, or name a stored copy:"
            " ADVISORIES=/path/to/all.zip make audit",
        ) from error


def findings(report: Mapping[str, Any]) -> list[Finding]:
    """Reads the JSON of pip-audit."""
    return [
        Finding(
            package=dependency["name"],
            version=dependency["version"],
            id=fault["id"],
            fixed=tuple(fault["fix_versions"]),
            summary=" ".join(fault["description"].split())[:200],
        )
        for dependency in report["dependencies"]
        for fault in dependency.get("vulns", ())
    ]


def _tools() -> Path:
    return environments.provide("audit", "pip-audit and cyclonedx", takes="seconds")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "pip-audit gave no reason"


def _audit() -> int:
    copy = os.environ.get("ADVISORIES")
    found: list[Finding] = []
    for lock in SHIPPED:
        found += find_advisories(paths.ROOT / lock, Path(copy) if copy else None)
    for one in dict.fromkeys(found):
        fixed = f"fixed in {', '.join(one.fixed)}" if one.fixed else "no version fixes it yet"
        console.say(f"{one.package} {one.version}: {one.id}, {fixed}: {one.summary}")
    if not found:
        console.say(f"No advisory names a package of {' or '.join(SHIPPED)}.")
    return 1 if found else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Does the work named on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.audit",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("work", choices=["sbom", "advisories"])
    if parser.parse_args(arguments).work == "advisories":
        return report_failures(_audit)
    return report_failures(lambda: console.say("\n".join(map(str, write_sboms()))))


if __name__ == "__main__":
    sys.exit(main())
