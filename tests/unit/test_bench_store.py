"""The store bench: what is drawn, what is promised, and what is shown of it."""

from dataclasses import replace
from pathlib import Path

from bench.store.fill import kinds
from bench.store.page import Stage, goals, tables, write
from bench.store.questions import ANALYTICS, NOTING, WRITING, Answer, noting

QUICK = [Answer(question, [0.05, 0.1]) for question in (*ANALYTICS, WRITING)]


def stage(attempts: int = 100_000, *answers: Answer, dialect: str = "sqlite") -> Stage:
    changed = {answer.question: answer for answer in answers}
    told = [changed.get(answer.question, answer) for answer in QUICK]
    return Stage(
        dialect=dialect,
        attempts=attempts,
        waiting=1_002,
        megabytes=100.0,
        answers=[*told, Answer(NOTING, [1e-5])],
        plans={ANALYTICS[0]: ["SEARCH usage BY id"]},
    )


def missed(*stages: Stage) -> list[str]:
    return [goal.says for goal in goals(stages) if not goal.is_met]


def test_a_store_that_is_quick_enough_misses_nothing() -> None:
    assert missed(stage(), stage(dialect="postgresql")) == []


def test_the_slowest_question_of_the_largest_size_is_what_counts() -> None:
    slow = Answer(ANALYTICS[3], [0.1, 0.21])
    assert missed(stage(1_000, slow), stage()) == []
    assert missed(stage(1_000), stage(100_000, slow)) == [
        f"SQLite: slowest analytics, p95 ({ANALYTICS[3]})"
    ]


def test_the_page_shows_what_the_terminal_shows_a_picture_and_the_plans(tmp_path: Path) -> None:
    page = tmp_path / "store.md"
    stages = [stage(1_000), stage(), replace(stage(dialect="postgresql"), megabytes=250.0)]
    write(page, stages)
    shown = page.read_text(encoding="utf-8")
    assert "![" in shown
    assert "SEARCH usage BY id" in shown
    assert page.with_suffix(".png").stat().st_size > 0
    for cell in ("kept", "2,500", "75.0 / 100", WRITING):
        assert cell in shown
        assert cell in tables(stages)


def test_every_kind_of_attempt_is_drawn_and_the_same_ones_each_time() -> None:
    drawn = kinds(7)
    assert {kind["role"] for kind in drawn} == {"first", "hedge", "failover", "resume", "trial"}
    assert {kind["outcome"] for kind in drawn} >= {"won", "lost", "cancelled", "silent"}
    assert drawn[:50] == kinds(7)[:50]


def test_noting_is_really_measured() -> None:
    assert noting().p50 > 0
