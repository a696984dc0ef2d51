"""Pages: a template in Markdown, filled with figures, tables and pictures."""

import os
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench.report.table import Table

Draw = Callable[[Path], None]
"""Draws a picture into a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of docs/bench, which has the name of its template.

    `values`: of the template's placeholders. A Table is shown as one, and a mapping as a subsection
    for each entry, with a table or Markdown below the title; all others are formatted. The machine
    and its load are added. `pictures`: by file name.
    """

    template: Path
    values: Mapping[str, object]
    pictures: Mapping[str, Draw] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All tables below their headings, for a terminal."""
        heading = ""
        parts = []
        for line in self.template.read_text(encoding="utf-8").splitlines():
            if line.startswith("## "):
                heading = line.removeprefix("## ")
            value = self.values.get(line.strip("{}"))
            titled = {heading: value} if isinstance(value, Table) else value
            if isinstance(titled, Mapping):
                parts += [
                    f"{title}\n{table.text}"
                    for title, table in titled.items()
                    if isinstance(table, Table)
                ]
        return "\n\n".join(parts)

    def write(self, folder: Path) -> None:
        """Writes the page and its pictures."""
        folder.mkdir(parents=True, exist_ok=True)
        shown = {name: _to_markdown(value) for name, value in self.values.items()}
        shown |= {"machine": machine(), "load": os.getloadavg()[0]}
        text = self.template.read_text(encoding="utf-8").format_map(shown)
        (folder / self.template.name).write_text(text, encoding="utf-8")
        for name, draw in self.pictures.items():
            draw(folder / name)


def _to_markdown(value: object) -> object:
    if isinstance(value, Table):
        return value.markdown
    if isinstance(value, Mapping):
        return "\n\n".join(f"### {title}\n\n{_to_markdown(part)}" for title, part in value.items())
    return value


def machine() -> str:
    """Describes the machine, the Python version and the date (UTC)."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    today = datetime.now(UTC).date().isoformat()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{cores} cores, {platform.machine()}, {platform.system()}, {python}, {today}"


def list_versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{package} {version}" for package, version in sorted(versions.items()))
