"""The goals, the page and the measurements of the overhead bench."""

from pathlib import Path

from bench.overhead.deciding import (
    Choosing,
    bytes_of_an_endpoint,
    measure_choosing,
    measure_recording,
)
from bench.overhead.page import Figures, make_goals, make_page
from bench.overhead.streaming import Cost, Crowd


def some_figures(*, chunk: float = 110e-6, choice: float = 30e-6, bare: float = 100e-6) -> Figures:
    alone = Cost("bare httpx2", [0.002], [0.001], [bare])
    ours = Cost("router", [0.003], [0.0015], [chunk])
    return Figures(
        costs=[alone, ours],
        crowds=[Crowd("router", 10, 0.25, 120e-6, 0.01)],
        choosing=[
            Choosing("latency", 1_000, [choice], [10e-6]),
            Choosing("priority", 1_000, [10e-6], [10e-6]),
        ],
        recording=[2e-6],
        endpoint_bytes=20_000,
        reply_bytes={"router": 30_000},
    )


def missed(figures: Figures) -> list[str]:
    return [goal.name for goal in make_goals(figures) if not goal.is_met]


def test_a_run_that_meets_every_promise_misses_nothing() -> None:
    assert missed(some_figures()) == []


def test_each_promise_is_judged_by_its_own_figure() -> None:
    assert missed(some_figures(chunk=121e-6)) == ["work added to each chunk"]
    assert missed(some_figures(choice=51e-6)) == [
        "choosing among 1,000, latency",
        "choosing among 1,000, slowest policy (latency)",
    ]


def test_a_promise_is_scaled_to_the_speed_of_the_machine() -> None:
    twice = {"bare": 252e-6, "chunk": 290e-6}
    assert missed(some_figures(**twice, choice=99e-6)) == []
    assert len(missed(some_figures(**twice, choice=101e-6))) == 2


def test_the_page_shows_what_the_terminal_shows_and_a_picture(tmp_path: Path) -> None:
    page = tmp_path / "overhead.md"
    shown_page = make_page(some_figures(chunk=121e-6))
    shown_page.write(tmp_path)
    shown = page.read_text(encoding="utf-8")
    assert "![" in shown
    assert page.with_suffix(".png").stat().st_size > 0
    for cell in ("MISSED", "121.0", "25%", "30.0"):
        assert cell in shown
        assert cell in shown_page.text


def test_choosing_recording_and_memory_are_really_measured() -> None:
    measured = measure_choosing(10, lambda _: None, [5, 10])
    assert {one.endpoints for one in measured} == {5, 10}
    assert all(seconds > 0 for one in measured for seconds in one.after_a_reply)
    assert all(seconds > 0 for seconds in measure_recording(10))
    assert bytes_of_an_endpoint(10) > 1_000
