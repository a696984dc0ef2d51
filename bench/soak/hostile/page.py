"""The page of this bench."""

from functools import partial
from pathlib import Path

from bench.report.goals import goals_table
from bench.report.page import Page
from bench.report.quantiles import quantile
from bench.report.table import Table, make_table, milliseconds
from bench.soak.hostile.calls import LONGEST, NEIGHBOURS, SPELL
from bench.soak.hostile.goals import HostileSoak, hostile_goals
from bench.soak.hostile.servers import ATTACKS
from bench.soak.page import counts, draw, held


def hostile_page(run: HostileSoak) -> Page:
    return Page(
        template=Path(__file__).with_name("soak_hostile.md"),
        pictures={"soak_hostile.png": partial(draw, run.soak)},
        values={
            "traffic": run.soak.load,
            "turns": run.soak.turns,
            "neighbours": run.noticed.neighbours,
            "rate": NEIGHBOURS,
            "spell": SPELL,
            "longest": LONGEST,
            "attacks": ", ".join(ATTACKS),
            "goals": goals_table(hostile_goals(run)),
            "first_words": _first_words(run),
            "held": held(run.soak),
            "attempts": counts("attempts", run.soak.attempts),
        },
    )


def _first_words(run: HostileSoak) -> Table:
    named = {
        "without neighbours": run.noticed.without,
        "beside them": run.noticed.beside,
    }
    return make_table(
        named.items(),
        [
            ("", lambda item: item[0]),
            ("turns", lambda item: f"{len(item[1]):,}"),
            ("p50, ms", lambda item: milliseconds(quantile(item[1], 0.5))),
            ("p95, ms", lambda item: milliseconds(quantile(item[1], 0.95))),
            ("slowest, ms", lambda item: milliseconds(max(item[1]))),
        ],
    )
