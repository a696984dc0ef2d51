"""Days that were played, kept in a folder: a run that was broken off goes on where it was, and a
page can be made of days from several runs.
"""

import json
from array import array
from dataclasses import asdict
from pathlib import Path

from bench.outage.server import Bill
from bench.outage.stage import Figures


class Kept:
    """One file for each contender, seed and length. What is in the folder belongs to one state of
    the code: empty it when the router or the day has changed.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder / f"seed-{seed}"

    def put(self, day: Figures) -> None:
        path = self._path(day.contender, day.replies)
        path.parent.mkdir(parents=True, exist_ok=True)
        facts = asdict(day) | {"first_words": [round(wait, 4) for wait in day.first_words]}
        written = path.with_suffix(".part")
        written.write_text(json.dumps(facts), encoding="utf-8")
        written.replace(path)

    def find(self, contender: str, replies: int) -> Figures | None:
        path = self._path(contender, replies)
        return _read(path) if path.exists() else None

    def longest(self, contender: str) -> Figures | None:
        """Its day with the most replies."""
        lengths = [int(path.stem) for path in (self._folder / contender).glob("*.json")]
        return self.find(contender, max(lengths)) if lengths else None

    def _path(self, contender: str, replies: int) -> Path:
        return self._folder / contender / f"{replies}.json"


def _read(path: Path) -> Figures:
    facts = json.loads(path.read_text(encoding="utf-8"))
    waits, bill = array("d", facts.pop("first_words")), Bill(**facts.pop("bill"))
    return Figures(**facts, first_words=waits, bill=bill)
