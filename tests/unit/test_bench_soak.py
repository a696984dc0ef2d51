"""The soak bench: it draws every fault, sees growth, and names a leak."""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from bench.soak.calls import Load
from bench.soak.figures import KINDS, Idle, Sample, Soak, make_goals, trend
from bench.soak.page import make_page
from bench.soak.servers import draw_reply
from llm_router.testing.server import Fault

IDLE = Sample(at=0.0, megabytes=170.0, tasks=3, sockets=13, threads=4, objects=400, streams=0)
LOAD = Load(seconds=1800.0, rate=5.0, seed=7)


def soaked(*, leak: str = "", seconds: float = 1800.0) -> Soak:
    """Returns half an hour in which every figure varies; `leak` also grows steadily."""
    rng = Random(7)
    samples = []
    for number in range(200):
        held = {kind: getattr(IDLE, kind) + rng.randrange(20) for kind in KINDS}
        if leak:
            held[leak] += number
        samples.append(Sample(at=number * seconds / 200, **held))
    return Soak(
        load=replace(LOAD, seconds=seconds),
        turns=9000,
        samples=samples,
        idle=Idle(closed=(IDLE, IDLE), open=(IDLE, IDLE)),
        attempts=Counter({"won": 8000, "silent": 1500}),
        replies=Counter({"answered": 8000}),
    )


def missed(soak: Soak) -> list[str]:
    return [goal.name for goal in make_goals(soak) if not goal.is_met]


# ── Faults ───────────────────────────────────────────────────────────────────────────────────────


def test_the_servers_fail_in_every_way_there_is_and_ask_for_tools() -> None:
    drawn = [draw_reply("7", number, question=True) for number in range(3000)]
    assert {script.fault for script in drawn} == set(Fault)
    assert any(script.tool_calls for script in drawn)
    assert Counter(script.fault for script in drawn)[Fault.NONE] > len(drawn) / 3


def test_a_seed_draws_the_same_faults_every_time() -> None:
    def faults(seed: str) -> list[Fault]:
        return [draw_reply(seed, number, question=True).fault for number in range(200)]

    assert faults("7") == faults("7")
    assert faults("7") != faults("8")


# ── Goals ────────────────────────────────────────────────────────────────────────────────────────


def test_outliers_do_not_change_a_trend() -> None:
    times = [float(place) for place in range(50)]
    values = [2.0 * at + (500.0 if place % 7 == 3 else 0.0) for place, at in enumerate(times)]
    assert math.isclose(trend(times, values), 2.0, abs_tol=0.5)


def test_a_figure_that_varies_has_not_grown() -> None:
    assert [what for what in missed(soaked()) if "memory" not in what] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_that_grows_in_traffic_is_named(kind: str) -> None:
    name = "memory" if kind == "megabytes" else kind
    assert f"growth of {name}" in " ".join(missed(soaked(leak=kind)))


def test_a_short_run_is_not_blamed_for_a_spell_of_faults() -> None:
    assert missed(soaked(leak="tasks", seconds=30.0)) == []


@pytest.mark.parametrize(
    ("left", "named"),
    [
        ({"tasks": 4}, "tasks left when the router is closed"),
        ({"sockets": 14}, "sockets left when the router is closed"),
        ({"threads": 5}, "threads left when the router is closed"),
        ({"objects": 9901}, "objects left by a turn"),
    ],
)
def test_leftovers_of_a_closed_router_are_named(left: dict[str, int], named: str) -> None:
    found = soaked(seconds=30.0)
    idle = replace(found.idle, closed=(IDLE, replace(IDLE, **left)))
    assert missed(replace(found, idle=idle)) == [named]


def test_work_after_the_last_turn_is_named() -> None:
    found = soaked(seconds=30.0)
    idle = replace(found.idle, open=(IDLE, replace(IDLE, tasks=4, streams=1)))
    assert missed(replace(found, idle=idle)) == [
        "tasks left when the traffic has ended",
        "replies left open at the servers",
    ]


# ── The page ─────────────────────────────────────────────────────────────────────────────────────


def test_the_page_shows_what_the_terminal_shows_and_a_picture(tmp_path: Path) -> None:
    page, found = tmp_path / "soak.md", make_page(soaked(leak="tasks"))
    found.write(tmp_path)
    shown = page.read_text(encoding="utf-8")
    assert "![" in shown
    assert page.with_suffix(".png").stat().st_size > 0
    for cell in ("MISSED", "1,500", "growth of tasks"):
        assert cell in shown
        assert cell in found.text
