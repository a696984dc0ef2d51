"""The voice bench: stages of a turn, figures of many, goals, the recording and the page."""

import math
import wave
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from agent.session import TurnOptions
from bench.report.goals import Goal
from bench.voice.__main__ import arguments
from bench.voice.calls import Spoken
from bench.voice.crowd import Crowd, crowd_goals
from bench.voice.failing import Answer, FailingRow, failing_goals
from bench.voice.page import (
    Results,
    crowd_table,
    failing_table,
    make_page,
    stages_table,
    waits_table,
)
from bench.voice.recording import QUIETEST, Recording, lay_track
from bench.voice.turns import STAGES, Row, Turn, find_stages, slowest_stage, wait_goals
from bench.voice.variants import (
    FIRST_TOKEN,
    NAMES,
    OURS,
    OURS_FAILING,
    STOCK,
    STOCK_FAILING,
    VARIANTS,
    Variant,
    room_name,
    variant_of,
)
from config.settings import Settings
from tests.voice.caller import RATE, SoundFrame, longest_delay, longest_pause
from tests.voice.replies import FAILURE_CASES


def a_turn(wait: float, **stages: float) -> Turn:
    return Turn(stages={**stages, "audible": wait}, requests=1)


def missed(goals: list[Goal]) -> list[str]:
    return [str(goal) for goal in goals if not goal.is_met]


# ── Variants ─────────────────────────────────────────────────────────────────────────────────────


def test_a_room_names_its_variant() -> None:
    variants = [*VARIANTS, OURS_FAILING, STOCK_FAILING]
    assert all(variant_of(room_name(variant, 12)) == variant for variant in variants)


def test_no_two_variants_have_a_name_in_common() -> None:
    assert len(set(NAMES)) == len(VARIANTS)


def test_ours_is_what_the_settings_are_by_default() -> None:
    fields = Settings.model_fields
    assert OURS.turns == TurnOptions(
        detection=fields["turn_detection"].default,
        vad_engine=fields["vad_engine"].default,
        min_silence=fields["vad_min_silence"].default,
        min_delay=fields["endpointing_min_delay"].default,
        max_delay=fields["endpointing_max_delay"].default,
        preemptive=fields["preemptive_generation"].default,
    )


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["--write", "--variants", "ours"], "leave out --variants"),
        (["--check", "--variants", "stock"], "name it in --variants"),
        (["--turns", "0"], "0 is below 1"),
        (["--failing-turns", "-1"], "-1 is below 0"),
        (["--write", "--failing-turns", "0"], "leave out --failing-turns"),
        (["--write", "--crowd-turns", "0"], "leave out --crowd-turns"),
    ],
)
def test_arguments_that_cannot_work_are_refused_with_advice(
    words: list[str], advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        arguments(words)
    assert advice in capsys.readouterr().err


# ── A turn ───────────────────────────────────────────────────────────────────────────────────────


def test_stages_count_from_the_last_sound() -> None:
    events = [(10.4, "noticed"), (10.45, "words"), (10.5, "thinking"), (10.6, "speaking")]
    stages = find_stages(8.0, 10.0, 10.7, events, [10.25])
    assert stages == pytest.approx(
        {
            "noticed": 0.4,
            "words": 0.45,
            "decided": 0.5,
            "requested": 0.25,
            "first_word": 0.25 + FIRST_TOKEN,
            "speaking": 0.6,
            "audible": 0.7,
        }
    )


def test_after_a_pause_within_the_turn_the_last_of_each_counts() -> None:
    events = [(9.0, "noticed"), (9.1, "words"), (10.4, "noticed"), (10.5, "words")]
    stages = find_stages(8.0, 10.0, 11.0, events, [9.2, 10.3])
    assert stages["noticed"] == pytest.approx(0.4)
    assert stages["words"] == pytest.approx(0.5)
    assert stages["requested"] == pytest.approx(0.3)


def test_events_of_other_turns_are_left_out() -> None:
    events = [(7.0, "words"), (10.6, "speaking"), (12.0, "noticed"), (12.5, "listening")]
    stages = find_stages(8.0, 10.0, 10.7, events, [7.5, 10.65])
    assert set(stages) == {"speaking", "audible"}


def test_a_turn_without_an_answer_waits_for_ever() -> None:
    stages = find_stages(8.0, 10.0, math.inf, [(10.4, "noticed")], [])
    assert stages == pytest.approx({"noticed": 0.4})
    assert Turn(stages=stages, requests=0).wait == math.inf


# ── Many turns ───────────────────────────────────────────────────────────────────────────────────


def test_a_turn_without_an_answer_is_in_the_figures() -> None:
    row = Row(variant=OURS, turns=[a_turn(0.6), Turn(stages={}, requests=1)])
    assert (row.wait(0.5), row.wait(1)) == (0.6, math.inf)


def test_a_turn_that_was_talked_over_counts_and_is_no_wait() -> None:
    over = Turn(stages={"audible": 0.01}, requests=2, talked_over=True)
    row = Row(variant=OURS, turns=[over, a_turn(0.6)])
    assert (row.talked_over, row.wait(0.5), row.stage("audible"), row.requests) == (
        1,
        0.6,
        0.6,
        1.5,
    )


def test_a_caller_who_was_always_talked_over_reaches_no_goal() -> None:
    row = Row(variant=OURS, turns=[Turn(stages={"audible": 0.01}, requests=1, talked_over=True)])
    assert math.isnan(row.wait(0.5))
    assert len(missed(wait_goals(row))) == 2


def test_the_turn_at_a_quantile_has_that_wait() -> None:
    row = Row(variant=OURS, turns=[a_turn(0.1 * n) for n in (3, 1, 2)])
    turn = row.turn_at(0.5)
    assert turn
    assert turn.wait == row.wait(0.5) == pytest.approx(0.2)


def test_goals_that_are_reached_are_not_missed() -> None:
    assert missed(wait_goals(Row(variant=OURS, turns=[a_turn(0.65)] * 10 + [a_turn(0.95)]))) == []


def test_a_missed_goal_names_the_stage_that_took_the_longest() -> None:
    slow = a_turn(0.9, noticed=0.3, words=0.35, decided=0.85)
    problem, *rest = missed(wait_goals(Row(variant=OURS, turns=[slow])))
    assert not rest
    assert "p50: 0.90 s" in problem
    assert f"'{STAGES['decided']}': 0.50 s" in problem


def test_a_stage_before_the_end_of_the_turn_took_no_time() -> None:
    assert slowest_stage(a_turn(0.5, requested=-0.8, noticed=0.4)).endswith("0.40 s")


# ── Several callers at once ──────────────────────────────────────────────────────────────────────


def a_crowd(alone: float, together: float) -> Crowd:
    return Crowd(
        alone=Row(variant=OURS, turns=[a_turn(alone), a_turn(0.1)]),
        together={
            2: Row(variant=OURS, turns=[a_turn(0.1), a_turn(0.7)]),
            5: Row(variant=OURS, turns=[a_turn(0.1), a_turn(together)]),
        },
    )


def test_several_callers_may_each_wait_half_as_long_again_as_one() -> None:
    assert missed(crowd_goals(a_crowd(0.6, 0.9))) == []
    (problem,) = missed(crowd_goals(a_crowd(0.6, 0.96)))
    assert "1.60" in problem


def test_one_of_several_callers_without_an_answer_misses_the_goal() -> None:
    assert missed(crowd_goals(a_crowd(0.6, math.inf)))


def test_the_waits_of_several_callers_are_set_below_those_of_one() -> None:
    *_, alone, two, five = crowd_table(a_crowd(0.6, 0.8)).text.splitlines()
    assert "0.60" in alone
    assert "2 callers" in two
    assert "0.70" in two
    assert "0.80" in five
    assert five.endswith("✓")


# ── Failing models ───────────────────────────────────────────────────────────────────────────────


def answered(
    wait: float, pause: float = 0.4, failing: str = "hang", variant: Variant = OURS_FAILING
) -> FailingRow:
    answer = Answer(turn=a_turn(wait), pause=pause, whole=True)
    return FailingRow(failing=failing, variant=variant, answers=[answer])


def broken_off(failing: str = "stall", variant: Variant = OURS_FAILING) -> FailingRow:
    answer = Answer(turn=a_turn(0.5), pause=9.0, whole=False)
    return FailingRow(failing=failing, variant=variant, answers=[answer])


def test_whole_answers_in_time_and_without_a_pause_miss_nothing() -> None:
    assert missed(failing_goals([answered(1.30, 0.70), answered(1.0, failing="drip")])) == []


def test_goals_do_not_apply_to_livekits_defaults() -> None:
    assert missed(failing_goals([answered(math.inf, 5.0, variant=STOCK_FAILING)])) == []


def test_an_answer_that_comes_too_late_names_the_fault() -> None:
    (problem,) = missed(failing_goals([answered(1.0), answered(2.0, failing="drip")]))
    assert "p95 with a failing model: 2.00 s" in problem
    assert FAILURE_CASES["drip"].title in problem


def test_a_long_pause_names_the_fault() -> None:
    (problem,) = missed(failing_goals([answered(1.0, 0.9, failing="stall")]))
    assert "0.90 s" in problem
    assert FAILURE_CASES["stall"].title in problem


def test_an_answer_that_breaks_off_has_no_longest_pause_and_misses_the_goal() -> None:
    row = broken_off()
    assert row.pause == math.inf
    (problem,) = missed(failing_goals([row]))
    assert "broken answers" in problem
    assert ": 1, at most 0" in problem


def test_failing_models_are_set_side_by_side() -> None:
    rows = [answered(0.9), broken_off("hang", STOCK_FAILING), answered(1.1, failing="drip")]
    hang, drip, total = (line.split("  ") for line in failing_table(rows).text.splitlines()[2:])
    assert [cell.strip() for cell in hang if cell][-5:] == ["1 of 1", "0.50", "0.50", "–", "0 of 1"]
    assert [cell.strip() for cell in drip if cell][-4:] == ["–"] * 4
    assert [cell.strip() for cell in total if cell][-5] == "2 of 2"


def sounds(*frames: tuple[float, bool]) -> list[SoundFrame]:
    return [SoundFrame(at, 1000.0 if loud else 0.0, frame(0)) for at, loud in frames]


def test_a_pause_is_counted_in_sound_and_not_by_the_clock() -> None:
    frames = [(0.00, True), (0.01, False), (0.02, False), (0.03, True), (2.0, False), (2.01, True)]
    sound = sounds(*frames)
    assert longest_pause(sound) == pytest.approx(0.02)
    assert longest_delay(sound) == pytest.approx(1.97)


def test_sound_without_a_pause_has_none() -> None:
    assert longest_pause(sounds((0.0, True), (0.01, True))) == 0
    assert longest_pause([]) == 0
    assert longest_delay([]) == 0


# ── The recording ────────────────────────────────────────────────────────────────────────────────


def frame(value: int, seconds: float = 0.01) -> "np.ndarray[tuple[int], np.dtype[np.int16]]":
    return np.full(round(RATE * seconds), value, np.int16)


def test_frames_that_come_unevenly_follow_on_one_another() -> None:
    frames = [(5.0, frame(1)), (5.03, frame(2)), (5.031, frame(3))]
    track = lay_track(frames, 5.0, RATE // 10)
    assert track[: 3 * 480].tolist() == [*[1] * 480, *[2] * 480, *[3] * 480]
    assert not track[3 * 480 :].any()


def test_a_frame_that_is_much_too_late_goes_where_it_belongs() -> None:
    track = lay_track([(5.0, frame(1)), (5.2, frame(2))], 5.0, RATE)
    assert track[RATE // 5 : RATE // 5 + 480].tolist() == [2] * 480
    assert not track[480 : RATE // 5].any()


def test_samples_beyond_the_track_are_cut_off() -> None:
    track = lay_track([(4.0, frame(1)), (5.095, frame(2))], 5.0, RATE // 10)
    assert track.tolist() == [*[0] * 4560, *[2] * 240]


def a_recording() -> Recording:
    left, right = frame(2**14, 0.5), frame(0, 0.5)
    samples = np.stack([np.concatenate([left, right]), np.concatenate([right, left])], axis=1)
    return Recording(start=100.0, samples=samples, spoken=[])


def test_loudness_tells_the_sides_apart() -> None:
    loud = a_recording().loudness(100.4, 100.6)
    assert loud.shape == (20, 2)
    assert loud[0] == pytest.approx([-6.02, QUIETEST], abs=0.01)
    assert loud[-1] == pytest.approx([QUIETEST, -6.02], abs=0.01)


def test_a_saved_recording_has_the_caller_on_the_left(tmp_path: Path) -> None:
    a_recording().save(tmp_path / "call.wav")
    with wave.open(str(tmp_path / "call.wav")) as saved:
        shape = (saved.getnchannels(), saved.getframerate(), saved.getnframes())
        left, right = np.frombuffer(saved.readframes(1), np.int16)
    assert shape == (2, RATE, RATE)
    assert (left, right) == (2**14, 0)


# ── Tables and page ──────────────────────────────────────────────────────────────────────────────


def some_rows(waits: Mapping[str, float]) -> list[Row]:
    return [Row(variant=one, turns=[a_turn(waits.get(one.name, 0.8))]) for one in VARIANTS]


def test_waits_are_set_against_stock() -> None:
    rows = some_rows({STOCK.name: 1.2, OURS.name: 0.6})
    line = next(line for line in waits_table(rows).text.splitlines() if line.startswith("ours  "))
    assert line.split()[1:5] == ["0.60", "0.60", "0.60", "0.50"]
    assert "p50 ≤ 0.65 s ✓" in line


def test_tables_need_neither_stock_nor_ours() -> None:
    rows = [Row(variant=VARIANTS[-1], turns=[Turn(stages={}, requests=0)])]
    assert "never" in waits_table(rows).text
    assert "–" in stages_table(rows).text


def test_the_page_names_every_variant_and_shows_a_picture(tmp_path: Path) -> None:
    turn = a_turn(0.3, noticed=0.1, requested=-0.05)
    spoken = Spoken(samples=frame(0), began=100.1, ended=100.5, turn=turn)
    recording = Recording(start=99.0, samples=np.zeros((3 * RATE, 2), np.int16), spoken=[spoken])
    results = Results(
        rows=some_rows({}),
        failing=[answered(0.9), broken_off("hang", STOCK_FAILING)],
        crowd=a_crowd(0.6, 0.8),
        recording=recording,
        load=(0.5, 1.5),
        delay=0.0,
    )
    make_page(results).write(tmp_path)
    page = (tmp_path / "voice_turn.md").read_text()
    assert all(page.count(f"| {variant.title} |") >= 2 for variant in VARIANTS)
    assert FAILURE_CASES["hang"].title in page
    assert "0.5 before and 1.5 at the end" in " ".join(page.split())
    assert (tmp_path / "voice_turn.png").read_bytes().startswith(b"\x89PNG")
