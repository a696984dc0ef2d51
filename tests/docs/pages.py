"""Reads the commands that the documentation tells its readers to type."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """A command as it is typed, over as many lines as the page has, and what it shows."""

    typed: str
    shown: str

    def __str__(self) -> str:
        return " ".join(self.typed.split())


def pages() -> list[str]:
    """Returns the pages that have commands, by their places in the checkout."""
    found = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("deploy/**/README.md"),
        *ROOT.glob("llm_router/*.md"),
        *ROOT.glob("web/*/README.md"),
        *ROOT.glob("web/*/npm/README.md"),
    ]
    names = sorted(str(path.relative_to(ROOT)) for path in found)
    return [name for name in names if commands(name)]


def commands(page: str) -> list[Command]:
    """Returns the commands of a page, in their order; a line of comment is none."""
    text = (ROOT / page).read_text(encoding="utf-8")
    parts = [
        part
        for block in _BLOCK.findall(text)
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    ]
    return [_command(part.splitlines()) for part in parts if not part.startswith("#")]


def _command(lines: Sequence[str]) -> Command:
    end = 1
    while end < len(lines) and _goes_on("\n".join(lines[:end])):
        end += 1
    return Command("\n".join(lines[:end]), "\n".join(lines[end:]))


def _goes_on(text: str) -> bool:
    """Returns whether the shell would wait for another line."""
    return text.endswith("\\") or text.count("'") % 2 == 1
