"""The capacity bench: the knee, the costs of a call, the simulation and the page."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.capacity.__main__ import arguments, project
from bench.capacity.figures import (
    MEDIA,
    SPEECH,
    WORKER,
    CapacityFigures,
    CounterFigures,
    Ramp,
    Step,
    StoreFigures,
    Turn,
    capacity_goals,
)
from bench.capacity.page import costs_of, make_page
from bench.capacity.saved import load, save
from bench.capacity.simulation import Costs, Habits, Peaks, Units, binding, needs, simulate
from deploy.supervisor import ServiceError
from llm_router.testing import ManualClock

COSTS = Costs(
    worker=0.3, media=0.03, memory=100, transactions=10, transaction=0.0004, connections=2,
    notice=0.001,
)  # fmt: skip


def step(calls: int, *waits: float, hole: float = 0.1) -> Step:
    return Step(
        calls=calls,
        turns=[Turn(wait, hole) for wait in waits],
        processor={WORKER: 12.0, SPEECH: 3.0, MEDIA: 1.2},
        memory={WORKER: 300.0 + 100 * calls, SPEECH: 400.0},
    )


def ramp(*steps: Step, title: str = "ours") -> Ramp:
    return Ramp(title=title, idle=700.0, steps=[*steps])


def stores(*sizes: int) -> Sequence[StoreFigures]:
    return [
        StoreFigures(
            workers=size,
            calls=2 * size,
            transactions=20.0 * size,
            writes=7.0 * size,
            cores=0.008 * size,
            connections=6 * size,
            delays=[[0.01, 0.002 * size]],
        )
        for size in sizes
    ]


FIGURES = CapacityFigures(
    ramps=[
        ramp(step(1, 0.5), step(2, 0.6, 0.7), step(3, 0.7, 0.9, 1.0)),
        ramp(step(1, 0.8), step(2, 1.3, 1.4), title="bare"),
    ],
    stores=stores(10, 50),
    counters=CounterFigures(hits=5_000, cores=0.4, waits=[0.001, 0.002]),
)


def test_the_knee_is_the_first_step_that_is_late_or_loses_sound() -> None:
    assert FIGURES.ramps[0].carried == 2
    assert FIGURES.ramps[0].is_past_knee
    assert ramp(step(1, 0.5), step(2, 0.5, math.inf)).carried == 1
    assert ramp(step(1, 0.5), step(2, 0.5, 0.5, hole=0.8)).carried == 1
    assert ramp(step(1, math.inf)).carried == 0
    assert not ramp(step(1, 0.5), step(2, 0.75, 0.75)).is_past_knee


def test_a_call_costs_what_one_more_adds() -> None:
    ours = FIGURES.ramps[0]
    assert ours.best.calls == 2
    assert ours.calls_per_core == 4
    assert ours.megabytes_per_call == 100
    assert replace(ours, idle=0.0).megabytes_per_call == 100  # the median: not the first alone
    costs = costs_of(FIGURES)
    assert (costs.worker, costs.memory) == (0.25, 100)
    assert costs.media == pytest.approx(0.02)
    assert (costs.transactions, costs.connections) == (10, 3)
    assert costs.transaction == pytest.approx(0.0004)
    assert costs.notice == pytest.approx(0.001)


def test_goals_compare_ours_with_the_bare_worker_and_a_change_with_its_promise() -> None:
    assert [goal.is_met for goal in capacity_goals(FIGURES)] == [True, True, True, True]
    slow = replace(FIGURES, stores=[replace(FIGURES.stores[0], delays=[[2.1]])])
    assert not capacity_goals(slow)[-1].is_met
    fewer = replace(FIGURES, ramps=FIGURES.ramps[::-1])
    assert [goal.is_met for goal in capacity_goals(fewer)][2] is False
    assert capacity_goals(CapacityFigures()) == []


def peaks_of(calls: int, habits: Habits) -> Peaks:
    clock = ManualClock()
    return clock.run(simulate(calls, habits, clock))


def test_as_many_calls_come_as_go_and_their_replies_coincide_by_chance() -> None:
    peaks = peaks_of(200, Habits(call=60, turn=8, reply=2))
    assert 200 <= peaks.calls < 260
    assert 200 * 2 / 8 < peaks.replies < 100
    assert 200 / 60 < peaks.starts < 20


def test_a_caller_who_never_asks_needs_no_model() -> None:
    assert peaks_of(50, Habits(call=0.5, turn=1e9)).replies == 0


def test_few_calls_need_workers_first_and_many_the_store() -> None:
    few = needs(Peaks(calls=100, replies=30), COSTS, Units())
    assert binding(few).part == "worker machines, by processor"
    many = needs(Peaks(calls=1_000, replies=300), COSTS, Units())
    assert binding(many).part == "store: connections"
    assert [need.part for need in many if need.is_out_of_reach] == ["store: connections"]
    more = needs(Peaks(calls=100_000, replies=26_000), COSTS, Units(database_connections=1e9))
    assert binding(more).part == "change feed: time to all calls"


def test_the_page_has_every_table(tmp_path: Path) -> None:
    small = {size: (Peaks(calls=size), needs(Peaks(calls=size), COSTS, Units())) for size in (1, 2)}
    page = make_page(FIGURES, small)
    page.write(tmp_path)
    shown = (tmp_path / "capacity.md").read_text(encoding="utf-8")
    assert "| ours | 2 | 0.50 | 15.0 | 4.0 | 100 | 700 |" in shown
    assert "| binds | worker machines, by processor | worker machines, by processor |" in shown
    assert "by all, longest, s" in page.text


def test_saved_figures_are_read_again_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "saved.json"
    save(FIGURES, file)
    assert load(file) == FIGURES
    file.write_text("[]")
    with pytest.raises(ServiceError, match="holds no figures of this bench"):
        load(file)
    assert load(None) == load(tmp_path / "none.json") == CapacityFigures()


def test_every_size_is_simulated_with_the_measured_costs() -> None:
    small, large = project(FIGURES, lambda _: None, (10, 2_000)).items()
    assert [small[0], large[0]] == [10, 2_000]
    assert 2_000 <= large[1][0].calls < 3_000
    assert binding(large[1][1]).is_out_of_reach


@pytest.mark.parametrize(
    "words", [["--write", "--only", "store"], ["--calls", "0"], ["--workers", "500"]]
)
def test_arguments_that_make_no_sense_are_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(words)


def test_a_machine_without_postgresql_gets_advice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bench.capacity.__main__.VERSIONS", Path("/nowhere"))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SystemExit):
        arguments(["--only", "store"])
    assert "PostgreSQL is not there: install 15 or newer" in capsys.readouterr().err
    assert arguments(["--only", "calls"]).only == ["calls"]
