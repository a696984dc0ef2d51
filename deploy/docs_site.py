"""Builds the site of the documentation into `site/html`: `python -m deploy.docs_site`.

The pages are those of `docs/` and a few beside the code, with their links changed to the site's
places, and a reference that is made anew each time: of the settings, the commands and the API.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from deploy import console, environments, paths
from deploy.console import StepError
from deploy.setup import report_failures

SITE = paths.ROOT / "site"
CONFIG = paths.ROOT / "deploy" / "site" / "zensical.toml"
ELSEWHERE: Mapping[str, str] = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "LICENSES.md": "licenses.md",
    "SECURITY.md": "security-policy.md",
    "deploy/vllm/README.md": "vllm.md",
    "llm_router/README.md": "router.md",
    "web/widget/npm/README.md": "widget-package.md",
    "web/react/README.md": "widget-react.md",
}
"""Pages that are not in `docs/`, and where the site has them."""
_LINK = re.compile(r"(?P<shown>!?\[(?:[^\[\]]|\[[^\]]*\])*\])\((?P<target>[^()\s]+)\)")
_FENCE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)
_VARIABLE = re.compile(r"^([A-Z][A-Z0-9_]*)=(.*)$")
_SECTION = re.compile(r"^# -{4} (.+?) -+$")


def build() -> Path:
    """Builds the site and returns the file to open. Raises StepError."""
    shutil.rmtree(SITE, ignore_errors=True)
    folder = SITE / "pages"
    for place, text in (layout() | reference()).items():
        _write(folder / place, text)
    for file in _other_files():
        target = folder / file.relative_to(paths.ROOT / "docs")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    shutil.copyfile(CONFIG, SITE / "zensical.toml")
    python = environments.provide("docs", "Zensical", takes="seconds")
    with console.step("Site") as step:
        command: list[str | Path] = [python, "-m", "zensical", "build", "--strict"]
        step.run(command, cwd=SITE, remedy="correct the page that the log names")
    return SITE / "html" / "index.html"


def layout() -> dict[str, str]:
    """Returns every page that people have written, by its place in the site."""
    return {place: relinked(file.read_text("utf-8"), file) for file, place in pages().items()}


@cache
def pages() -> Mapping[Path, str]:
    """Returns the place in the site of every page, by its file."""
    docs = paths.ROOT / "docs"
    found = {file: _place(file.relative_to(docs)) for file in sorted(docs.rglob("*.md"))}
    return found | {paths.ROOT / name: place for name, place in ELSEWHERE.items()}


def relinked(text: str, file: Path) -> str:
    """Changes the links of a page to the places of the site.

    A link to a file that the site does not have becomes the name of that file.
    """
    parts = _FENCE.split(text)
    return "".join(
        part if number % 2 else _LINK.sub(lambda found: _relink(found, file), part)
        for number, part in enumerate(parts)
    )


def settings_page(example: str) -> str:
    """Returns the reference of the settings, made of `.env.example`."""
    lines = ["# Settings", "", "Of `.env`, or of the environment, which takes precedence.", ""]
    about: list[str] = []
    for line in example.splitlines():
        if section := _SECTION.match(line):
            lines += [f"## {section[1]}", ""]
            about = []
        elif line.startswith("# "):
            about.append(line.removeprefix("# "))
        elif variable := _VARIABLE.match(line):
            usual = f"Default: `{variable[2]}`" if variable[2] else "Default: empty"
            lines += [f"### {variable[1]}", "", " ".join(about), "", usual, ""]
            about = []
    return "\n".join(lines)


def routes_page(document: Mapping[str, Any]) -> str:
    """Returns the reference of the API's routes, made of its OpenAPI document."""
    lines = ["# Routes of the API", "", "Fields and errors are in `/api/openapi.json`.", ""]
    by_tag: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if not isinstance(operation, dict) or "responses" not in operation:
                continue
            about = operation.get("description") or operation.get("summary") or ""
            first = about.split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
            row = f"| `{method.upper()} {path}` | `{operation.get('operationId', '')}` | {first} |"
            by_tag.setdefault(operation.get("tags", ["other"])[0], []).append(row)
    for tag, rows in sorted(by_tag.items()):
        lines += [f"## {tag}", "", "| route | operation | |", "| --- | --- | --- |", *rows, ""]
    return "\n".join(lines)


def reference() -> dict[str, str]:
    """Returns the pages that are made of the code, by their place."""
    return {
        "reference/settings.md": settings_page((paths.ROOT / ".env.example").read_text("utf-8")),
        "reference/commands.md": _printed("llm_router.cli.reference"),
        "reference/routes.md": routes_page(json.loads(_printed("agent.openapi"))),
    }


def _printed(module: str) -> str:
    command: list[str | Path] = [paths.VENV_PYTHON, "-m", module]
    done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepError(f"python -m {module} failed:\n{done.stderr}", "run make setup first")
    return str(done.stdout)


def _relink(found: re.Match[str], file: Path) -> str:
    shown, target = found["shown"], found["target"]
    address, mark, anchor = target.partition("#")
    if not address or re.match(r"[a-z]+:", address):
        return found[0]
    wanted = (file.parent / unquote(address)).resolve()
    if wanted.is_dir():
        wanted /= "README.md"
    here = PurePosixPath(pages()[file])
    if (place := pages().get(wanted)) or (place := _place_of_other(wanted)):
        return f"{shown}({_relative(PurePosixPath(place), here)}{mark}{anchor})"
    return shown.removeprefix("!").removeprefix("[").removesuffix("]")


def _relative(target: PurePosixPath, page: PurePosixPath) -> str:
    up = "../" * (len(page.parts) - 1)
    return f"{up}{target}"


def _place(page: Path) -> str:
    place = page.as_posix()
    return f"{place.removesuffix('README.md')}index.md" if page.name == "README.md" else place


def _place_of_other(file: Path) -> str:
    """Returns the place of a picture or a recording in `docs/`; empty: the site has it not."""
    docs = paths.ROOT / "docs"
    is_there = file.is_file() and file.is_relative_to(docs) and file.suffix != ".md"
    return file.relative_to(docs).as_posix() if is_there else ""


def _other_files() -> Iterator[Path]:
    for file in sorted((paths.ROOT / "docs").rglob("*")):
        if file.is_file() and file.suffix != ".md":
            yield file


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def main() -> int:
    return report_failures(lambda: console.say(f"Open {build()}"))


if __name__ == "__main__":
    sys.exit(main())
