"""Stores what was measured in a file, so that a later run measures only the rest."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.capacity.figures import (
    CapacityFigures,
    CounterFigures,
    Ramp,
    Step,
    StoreFigures,
    Turn,
)
from deploy.supervisor import ServiceError


def save(figures: CapacityFigures, file: Path) -> None:
    file.write_text(json.dumps(asdict(figures)), encoding="utf-8")


def load(file: Path | None) -> CapacityFigures:
    """Reads the figures of an earlier run; none without a file.

    Raises ServiceError for a file of something else.
    """
    if file is None or not file.exists():
        return CapacityFigures()
    try:
        return _figures(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise ServiceError(f"{file} holds no figures of this bench: name another file") from error


def _figures(found: Any) -> CapacityFigures:
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
