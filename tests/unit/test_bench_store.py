"""The store bench: its attempts, goals and page."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

from bench.full_store.fill import draw_attempts
from bench.store.page import Stage, make_goals, make_page
from bench.store.queries import ANALYTICS, CALLS, RECORDING, WRITING, Timing, measure_recording
from llm_router.routing.attempt import Role

QUICK = [Timing(query, [0.05, 0.1]) for query in (*ANALYTICS, *CALLS, WRITING)]


def stage(attempts: int = 100_000, *timings: Timing, dialect: str = "sqlite") -> Stage:
    changed = {timing.query: timing for timing in timings}
    others = [changed.get(timing.query, timing) for timing in QUICK]
    return Stage(
        dialect=dialect,
        attempts=attempts,
        used=24,
        waiting=1_002,
        megabytes=100.0,
        timings=[*others, Timing(RECORDING, [1e-5])],
        plans={ANALYTICS[0]: ["SEARCH usage BY id"]},
    )


def missed(*stages: Stage) -> list[str]:
    return [goal.name for goal in make_goals(stages) if not goal.is_met]


def test_a_store_that_is_quick_enough_misses_nothing() -> None:
    assert missed(stage(), stage(dialect="postgresql")) == []


def test_the_slowest_query_of_the_largest_size_counts() -> None:
    slow = Timing(ANALYTICS[3], [0.1, 0.21])
    assert missed(stage(1_000, slow), stage()) == []
    assert missed(stage(1_000), stage(100_000, slow)) == [
        f"SQLite: slowest analytics, p95 ({ANALYTICS[3]})"
    ]


def test_the_page_shows_what_the_terminal_shows_a_picture_and_the_plans(tmp_path: Path) -> None:
    page = tmp_path / "store.md"
    stages = [stage(1_000), stage(), replace(stage(dialect="postgresql"), megabytes=250.0)]
    shown_page = make_page(stages)
    shown_page.write(tmp_path)
    shown = page.read_text(encoding="utf-8")
    assert "![" in shown
    assert "SEARCH usage BY id" in shown
    assert page.with_suffix(".png").stat().st_size > 0
    for cell in ("met", "2,500", "75.0 / 100", WRITING):
        assert cell in shown
        assert cell in shown_page.text


def test_every_kind_of_attempt_is_drawn_and_the_same_ones_each_time() -> None:
    drawn = draw_attempts(7)
    assert {attempt["role"] for attempt in drawn} == {*get_args(Role)}
    assert {attempt["outcome"] for attempt in drawn} >= {"won", "lost", "cancelled", "silent"}
    assert drawn[:50] == draw_attempts(7)[:50]


def test_recording_is_really_measured() -> None:
    assert measure_recording().p50 > 0
