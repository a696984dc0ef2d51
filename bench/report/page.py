"""Pages: a title, the conditions of a run, sections of prose and tables, and pictures."""

import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.report.table import Table


@dataclass(frozen=True, slots=True)
class Section:
    """`parts`: prose in Markdown and tables, in order."""

    title: str
    parts: Sequence[str | Table]

    @property
    def markdown(self) -> str:
        parts = [part.markdown if isinstance(part, Table) else part for part in self.parts]
        return "\n\n".join([f"## {self.title}", *parts])

    @property
    def text(self) -> str:
        """The title and the tables, for a terminal; empty if the section has no table."""
        tables = [part.text for part in self.parts if isinstance(part, Table)]
        return "\n".join([self.title, *tables]) if tables else ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture beside the page. `draw` writes it to a path; `suffix` extends the page's name."""

    description: str
    draw: Callable[[Path], None]
    suffix: str = ""

    def path(self, page: Path) -> Path:
        return page.with_name(f"{page.stem}{self.suffix}.png")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """`command`: the module and the arguments that write the page. `conditions`: how and with what
    it was measured; the machine and the date are added before it.
    """

    title: str
    summary: str
    command: str
    conditions: str
    sections: Sequence[Section]
    pictures: Sequence[Picture] = ()

    @property
    def text(self) -> str:
        """The tables, for a terminal."""
        return "\n\n".join(section.text for section in self.sections if section.text)

    def write(self, path: Path) -> None:
        """Writes the page, and beside it its pictures."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._markdown(path), encoding="utf-8")
        for picture in self.pictures:
            picture.draw(picture.path(path))

    def _markdown(self, path: Path) -> str:
        parts = [
            f"# {self.title}",
            f"{self.summary} Written by `python -m {self.command}`.",
            *(f"![{one.description}]({one.path(path).name})" for one in self.pictures),
            f"Measured on {machine()}; {self.conditions}",
            *(section.markdown for section in self.sections),
        ]
        return "\n\n".join(parts) + "\n"


def machine() -> str:
    """Describes the machine, the Python version and the date (UTC)."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    today = datetime.now(UTC).date().isoformat()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{cores} cores, {platform.machine()}, {platform.system()}, {python}, {today}"


def load() -> str:
    """Describes how many tasks wanted a processor over the last minute."""
    return f"load {os.getloadavg()[0]:.1f} over the last minute"


def list_versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{package} {version}" for package, version in sorted(versions.items()))
