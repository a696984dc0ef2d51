"""The page of this bench."""

from collections.abc import Sequence
from pathlib import Path

from bench.report.page import Page
from bench.report.quantiles import median, quantile
from bench.report.table import Table, make_table
from bench.speech_process.callers import EVERY, MODEL, PAUSE, REPLY, TURN, Waits
from bench.speech_process.memory import MemoryUse


def make_page(uses: Sequence[MemoryUse], waits: Sequence[Waits]) -> Page:
    return Page(
        template=Path(__file__).with_name("speech_process.md"),
        values={
            "memory": _memory(uses),
            "waits": _waits(waits),
            "turn": TURN,
            "every": EVERY,
            "model": MODEL,
            "pause": PAUSE,
            "reply": " ".join(REPLY),
        },
    )


def _memory(uses: Sequence[MemoryUse]) -> Table:
    return make_table(
        uses,
        [
            ("models", lambda use: _where(shared=use.speech is not None)),
            ("calls", lambda use: f"{len(use.calls)}"),
            ("MB a call alone has", lambda use: f"{use.per_call:,.0f}"),
            (
                "MB of the speech process",
                lambda use: f"{use.speech.own:,.0f}" if use.speech else "–",
            ),
            ("MB of all", lambda use: f"{use.total:,.0f}"),
        ],
    )


def _waits(waits: Sequence[Waits]) -> Table:
    return make_table(
        waits,
        [
            ("models", lambda one: _where(shared=one.shared)),
            ("callers", lambda one: f"{one.callers}"),
            ("turns", lambda one: f"{len(one.text)}"),
            ("words p50 / p95", lambda one: _both(one.text)),
            ("first sound p50 / p95", lambda one: _both(one.sound)),
            ("both p50 / p95", lambda one: _both(one.both)),
            ("silences in replies", lambda one: f"{len(one.pauses)}"),
            ("interim refused", lambda one: f"{one.refused / max(1, one.interim):.0%}"),
            ("calls a core", lambda one: f"{one.calls_per_core:.1f}"),
        ],
    )


def _where(*, shared: bool) -> str:
    return "shared" if shared else "in each call"


def _both(values: Sequence[float]) -> str:
    return f"{median(values):.2f} / {quantile(values, 0.95):.2f} s" if values else "–"
