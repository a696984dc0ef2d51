"""The figures of the overhead bench: what is promised, and what is shown of it."""

from pathlib import Path

from bench.overhead.deciding import Choosing, bytes_of_an_endpoint, choosing, recording
from bench.overhead.page import Figures, goals, tables, write
from bench.overhead.streaming import Cost, Crowd


def figures(*, chunk: float = 110e-6, choice: float = 30e-6, bare: float = 100e-6) -> Figures:
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


def missed(found: Figures) -> list[str]:
    return [goal.says for goal in goals(found) if not goal.is_met]


def test_a_run_that_keeps_every_promise_misses_nothing() -> None:
    assert missed(figures()) == []


def test_each_promise_is_judged_by_what_it_is_about() -> None:
    assert missed(figures(chunk=121e-6)) == ["work added to each chunk"]
    assert missed(figures(choice=51e-6)) == [
        "choosing among 1,000, latency",
        "choosing among 1,000, slowest policy (latency)",
    ]


def test_a_promise_is_kept_at_the_speed_of_the_machine() -> None:
    twice = {"bare": 252e-6, "chunk": 290e-6}
    assert missed(figures(**twice, choice=99e-6)) == []
    assert len(missed(figures(**twice, choice=101e-6))) == 2


def test_the_page_shows_what_the_terminal_shows_and_a_picture(tmp_path: Path) -> None:
    page = tmp_path / "overhead.md"
    write(page, figures(chunk=121e-6))
    shown = page.read_text(encoding="utf-8")
    assert "![" in shown
    assert page.with_suffix(".png").stat().st_size > 0
    for cell in ("MISSED", "121.0", "25%", "30.0"):
        assert cell in shown
        assert cell in tables(figures(chunk=121e-6))


def test_choosing_recording_and_memory_are_really_measured() -> None:
    measured = choosing(10, lambda _: None, [5, 10])
    assert {one.endpoints for one in measured} == {5, 10}
    assert all(seconds > 0 for one in measured for seconds in one.after_a_reply)
    assert all(seconds > 0 for seconds in recording(10))
    assert bytes_of_an_endpoint(10) > 1_000
