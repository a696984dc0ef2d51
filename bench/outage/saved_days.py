"""Simulated days, saved in a folder, so that an interrupted run can be resumed and a page can show
days from several runs.
"""

import json
from array import array
from dataclasses import asdict
from pathlib import Path

from bench.outage.server import Bill
from bench.outage.simulation import Figures


class SavedDays:
    """A file for each contender, seed and number of replies.

    All files belong to the same version of the code: empty the folder when the router or the day
    has changed.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder / f"seed-{seed}"

    def save(self, day: Figures) -> None:
        path = self._path(day.contender, day.replies)
        path.parent.mkdir(parents=True, exist_ok=True)
        facts = asdict(day) | {"first_words": [round(wait, 4) for wait in day.first_words]}
        partial = path.with_suffix(".part")
        partial.write_text(json.dumps(facts), encoding="utf-8")
        partial.replace(path)

    def find(self, contender: str, replies: int) -> Figures | None:
        path = self._path(contender, replies)
        return _read(path) if path.exists() else None

    def longest(self, contender: str) -> Figures | None:
        """Returns the contender's day with the most replies."""
        lengths = [int(path.stem) for path in (self._folder / contender).glob("*.json")]
        return self.find(contender, max(lengths)) if lengths else None

    def _path(self, contender: str, replies: int) -> Path:
        return self._folder / contender / f"{replies}.json"


def _read(path: Path) -> Figures:
    facts = json.loads(path.read_text(encoding="utf-8"))
    waits = array("d", facts.pop("first_words"))
    bill = Bill(**facts.pop("bill"))
    return Figures(**facts, first_words=waits, bill=bill)
