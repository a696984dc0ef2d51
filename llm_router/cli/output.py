"""Output of the commands: tables on a terminal, tab-separated columns in a pipe, or JSON.

Results go to standard output and all else to standard error, so that either can be piped alone.
Only a terminal gets colour and drawn tables; NO_COLOR turns colour off.
"""

import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from llm_router.printable import printable

_STYLES = {
    "active": "green", "ok": "green", "yes": "green", "added": "green", "error": "red",
    "fault": "red", "removed": "red", "changed": "yellow", "resting": "yellow", "note": "yellow",
    "deactivated": "dim", "untested": "dim", "unchanged": "dim", "no": "dim",
}  # fmt: skip
"""Style of a cell by its whole text."""
_LINES = 10
"""Lines that stand for a whole progress bar."""


class Output:
    """Prints a command's results, either for people or as JSON.

    A command calls both kinds of methods, and only one kind prints: with `as_json` there is one
    JSON text on standard output and nothing else.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._out = Console(highlight=False)
        self._err = Console(stderr=True, highlight=False)

    def json(self, data: Any) -> None:
        """Prints the result as JSON, if JSON is wanted."""
        if self.as_json:
            self.print_json(data)

    def print_json(self, data: Any) -> None:
        """Prints JSON in either case."""
        typer.echo(json.dumps(data, indent=2, ensure_ascii=False))

    def print_line(self, text: str, style: str = "") -> None:
        """Prints one line on standard output."""
        if not self.as_json:
            self._print(self._out, text, style)

    def print_note(self, text: str, style: str = "") -> None:
        """Prints one line on standard error."""
        if not self.as_json:
            self._print(self._err, text, style)

    def print_text(self, text: str) -> None:
        """Prints a piece of a streamed text at once, without a line end."""
        if not self.as_json:
            typer.echo(printable(text, keep="\n"), nl=False)
            sys.stdout.flush()

    def print_table(
        self, columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str
    ) -> None:
        """Prints a table, or the note `empty` if it has no rows."""
        if self.as_json:
            return
        if not rows:
            self.print_note(empty)
        elif self._out.is_terminal:
            table = Table(box=None, pad_edge=False, header_style="bold")
            for column in columns:
                table.add_column(column, overflow="fold")
            for row in rows:
                table.add_row(*(_cell(value) for value in row))
            self._out.print(table)
        else:
            for cells in (columns, *rows):
                typer.echo("\t".join(format_value(cell) for cell in cells))

    def print_fields(self, fields: Mapping[str, Any]) -> None:
        """Prints names and values, one a line."""
        self.print_table(("field", "value"), [*fields.items()], "")

    def print_changes(
        self, before: Mapping[str, Any], after: Mapping[str, Any], *, without: Collection[str]
    ) -> None:
        """Prints the fields that an edit has changed, but those named in `without`."""
        rows = [
            (name, before[name], value)
            for name, value in after.items()
            if value != before[name] and name not in without
        ]
        self.print_table(("field", "before", "after"), rows, "no change")

    @contextmanager
    def progress(self, task: str) -> Iterator[Callable[[int, int], None]]:
        """Draws a progress bar; yields a callback for the numbers done and in all.

        Elsewhere than on a terminal, as in the log of a batch at night, it is a line a tenth.
        """
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=self._err,
            transient=True,
            disable=self.as_json or not self._err.is_terminal,
        )
        shown = 0

        def on_progress(done: int, total: int) -> None:
            nonlocal shown
            bar.update(task_id, completed=done, total=total)
            before, shown = shown, done * _LINES // max(total, 1)
            if before < shown < _LINES and not self._err.is_terminal:
                self.print_note(f"{task}: {done:,} of {total:,}")

        with bar:
            task_id = bar.add_task(task, total=None)
            yield on_progress

    @staticmethod
    def _print(console: Console, text: str, style: str) -> None:
        console.print(Text(printable(text), style=style), soft_wrap=True)


def format_value(value: Any) -> str:
    """Formats any JSON value as one line for people."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(format_value, value)) or "-"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False) if value else "-"
    return printable(str(value))


def _cell(value: Any) -> Text:
    text = format_value(value)
    return Text(text, style=_STYLES.get(text, ""))
