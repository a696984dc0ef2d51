"""Stores what was measured in a file, so that a later run measures only the rest."""

import json
from dataclasses import asdict
from pathlib import Path

from bench.capacity.figures import (
    CapacityFigures,
    CounterFigures,
    Ramp,
    Step,
    StoreFigures,
    Turn,
)


def save(figures: CapacityFigures, file: Path) -> None:
    file.write_text(json.dumps(asdict(figures)), encoding="utf-8")


def load(file: Path | None) -> CapacityFigures:
    """Reads the figures of an earlier run; none without a file."""
    if file is None or not file.exists():
        return CapacityFigures()
    found = json.loads(file.read_text(encoding="utf-8"))
    counters = found["counters"]
    return CapacityFigures(
        ramps=[
            Ramp(
                title=ramp["title"],
                idle=ramp["idle"],
                steps=[
                    Step(**{**step, "turns": [Turn(**turn) for turn in step["turns"]]})
                    for step in ramp["steps"]
                ],
            )
            for ramp in found["ramps"]
        ],
        stores=[StoreFigures(**store) for store in found["stores"]],
        counters=CounterFigures(**counters) if counters else None,
    )
