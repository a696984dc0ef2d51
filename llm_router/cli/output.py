"""What the commands say: tables for people, columns for pipes, JSON for programs.

Answers go to standard output and all else to standard error, so that either can be piped alone.
Colour and lines are for terminals; NO_COLOR does without.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

_STYLES = {
    "active": "green", "ok": "green", "yes": "green", "added": "green", "error": "red",
    "fault": "red", "removed": "red", "changed": "yellow", "resting": "yellow", "note": "yellow",
    "deactivated": "dim", "untested": "dim", "unchanged": "dim", "no": "dim",
}  # fmt: skip
"""Of a cell that says just this."""


class Output:
    """A command says what it has to say twice: as JSON and for people. Only one of them is heard,
    so that with `as_json` there is one JSON text on standard output and nothing else.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._out, self._err = Console(highlight=False), Console(stderr=True, highlight=False)

    def json(self, data: Any) -> None:
        if self.as_json:
            self.document(data)

    def document(self, data: Any) -> None:
        """JSON that is wanted in any case."""
        typer.echo(json.dumps(data, indent=2, ensure_ascii=False))

    def line(self, text: str, style: str = "") -> None:
        """One line, on standard output."""
        if not self.as_json:
            self._print(self._out, text, style)

    def say(self, text: str, style: str = "") -> None:
        """The same on standard error."""
        if not self.as_json:
            self._print(self._err, text, style)

    def word(self, text: str) -> None:
        """A piece of a text that comes bit by bit."""
        if not self.as_json:
            typer.echo(printable(text, keep="\n"), nl=False)
            sys.stdout.flush()

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str) -> None:
        """`empty`: what is said where there is no row."""
        if self.as_json:
            return
        if not rows:
            self.say(empty)
        elif self._out.is_terminal:
            table = Table(box=None, pad_edge=False, header_style="bold")
            for column in columns:
                table.add_column(column, overflow="fold")
            for row in rows:
                table.add_row(*(_cell(value) for value in row))
            self._out.print(table)
        else:
            for cells in (columns, *rows):
                typer.echo("\t".join(shown(cell) for cell in cells))

    def facts(self, facts: Mapping[str, Any]) -> None:
        """Names and values, one a line."""
        self.table(("field", "value"), [*facts.items()], "")

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """Tell it how many are done, and of how many. Drawn on a terminal alone."""
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=self._err,
            transient=True,
            disable=self.as_json or not self._err.is_terminal,
        )
        with bar:
            task = bar.add_task(what, total=None)
            yield lambda done, of: bar.update(task, completed=done, total=of)

    @staticmethod
    def _print(console: Console, text: str, style: str) -> None:
        console.print(Text(printable(text), style=style), soft_wrap=True)


def shown(value: Any) -> str:
    """One line for a person."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value)) or "-"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False) if value else "-"
    return printable(str(value))


def printable(text: str, keep: str = "") -> str:
    """Without what could steer a terminal: servers and other people wrote it."""
    return "".join(c if c.isprintable() or c in keep else " " for c in text)


def _cell(value: Any) -> Text:
    text = shown(value)
    return Text(text, style=_STYLES.get(text, ""))
