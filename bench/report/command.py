"""The command line of a bench: the arguments that several share, progress, and the exit code."""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bench.report.goals import Goal
from bench.report.page import Page

Progress = Callable[[str], None]
"""Shows how far a run is."""
_DOCS = Path(__file__).parents[2] / "docs" / "bench"


class BenchParser(argparse.ArgumentParser):
    """A parser with `--write`, and with `--check` for a bench that has goals."""

    def __init__(self, module: str, description: str | None, *, has_goals: bool = True) -> None:
        super().__init__(
            prog=f"python -m {module}",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.add_argument(
            "--write", action="store_true", help="write the page in docs/bench and its pictures"
        )
        if has_goals:
            self.add_argument(
                "--check", action="store_true", help="exit with 1 if a required goal was missed"
            )

    def add_number(self, flag: str, default: int, text: str, *, least: int = 1) -> None:
        """Adds an argument for a whole number that must not be below `least`."""
        self.add_argument(
            flag,
            type=at_least(least),
            default=default,
            metavar="N",
            help=f"{text} (default: %(default)s)",
        )

    def add_choice(
        self, flag: str, names: Sequence[str], default: Sequence[str] | None = None
    ) -> None:
        """Adds an argument that selects some of the names; `default` is all of them."""
        self.add_argument(
            flag,
            nargs="+",
            choices=names,
            default=list(names if default is None else default),
            metavar="NAME",
            help=f"only these of: {', '.join(map(repr, names))}".replace("%", "%%"),
        )

    def add_realtime(self) -> None:
        self.add_argument(
            "--realtime",
            action="store_true",
            help="run before all other processes of this machine (Linux, root), so that the "
            "figures can be trusted while it is busy",
        )


def at_least(least: float, kind: Callable[[str], float] = int) -> Callable[[str], float]:
    """Returns a converter for argparse that rejects numbers below `least`."""

    def convert(text: str) -> float:
        if (value := kind(text)) < least:
            raise argparse.ArgumentTypeError(f"{value:g} is below {least:g}")
        return value

    return convert


def finish(
    chosen: argparse.Namespace,
    make_page: Callable[[], Page],
    goals: Iterable[Goal] = (),
    folder: Path = _DOCS,
) -> int:
    """Writes the page with `--write` and prints every missed goal. Returns the exit code: 1 if a
    required goal was missed and `--check` was given.
    """
    if chosen.write:
        page = make_page()
        page.write(folder)
        print(f"written: {folder / page.template.name} and its pictures")
    missed = [goal for goal in goals if not goal.is_met]
    for goal in missed:
        print(f"{'MISSED' if goal.required else 'short of the aim'}: {goal}")
    return 1 if any(goal.required for goal in missed) and chosen.check else 0


def terminal_progress() -> Progress:
    """Returns a function that overwrites one line of the terminal; without a terminal, it does
    nothing. An empty text clears the line.
    """
    if not sys.stderr.isatty():
        return lambda _: None
    return lambda text: print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
