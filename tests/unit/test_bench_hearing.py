"""The hearing bench: wrong words, times of transcripts, clips that arrive, goals and the page."""

import math
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from livekit.agents import LanguageCode
from livekit.agents.stt import SpeechData, SpeechEvent, SpeechEventType

from agent.stt.embedded import EmbeddedSTT
from bench.hearing.__main__ import arguments
from bench.hearing.channels import AFTER, BEFORE, CHANNELS, CLEAN, TELEPHONE, arrivals, trim
from bench.hearing.listening import FLUSH_AFTER, Timing, find_times, transcribe
from bench.hearing.measure import Measured, Transcribed
from bench.hearing.page import errors_table, invented_table, make_page, times_table
from bench.hearing.results import invented_words, make_goals, share
from bench.hearing.speakers import PEOPLE, people
from bench.hearing.words import WordErrors, compare, distance
from tests.sounds.samples import RATE, silence

# ── Words ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        ("ten of clubs", 0),
        ("10 of clubs.", 0),
        ("of clubs", 1),
        ("ten ten of clubs", 1),
        ("Ten of gloves", 1),
        ("11 of clubs", 1),
        ("", 3),
    ],
)
def test_wrong_words_are_missing_added_or_confused(written: str, wrong: int) -> None:
    assert compare("Ten of clubs.", written) == WordErrors(wrong, 3)


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("five five five, zero one four two", "555-0142"),
        ("five five five oh one four two", "555 0142."),
        ("half past three", "half past 3"),
        ("nineteen eighty four", "1984"),
        ("three hundred and forty six", "346"),
        ("three hundred forty six", "346"),
        ("two thousand fifteen", "2,015"),
        ("twenty first of may", "21st of May"),
        ("twelfth", "12th"),
        ("nine thirty", "9:30"),
        ("nine oh five", "9:05"),
        ("nine o'clock", "9:00"),
        ("ten percent", "10%"),
        ("nine am", "9 a.m."),
        ("Mister Smith's well-known café", "mr. smith’s well known café"),
    ],
)
def test_a_number_is_right_however_it_is_written(spoken: str, written: str) -> None:
    assert compare(spoken, written).wrong == 0


@pytest.mark.timeout(10)
def test_a_transcript_full_of_numbers_takes_no_time() -> None:
    assert compare("five five", "5 " * 500).wrong == 498
    assert compare("five five", "1984 " * 200).wrong >= 198
    assert compare("one", "1" * 5000).wrong == 4999


@pytest.mark.parametrize(
    ("said", "written", "expected"),
    [("a b c", "a b c", 0), ("a b c", "b c", 1), ("a b c", "c b a", 2), ("", "a b", 2)],
)
def test_the_distance_is_the_fewest_changes(said: str, written: str, expected: int) -> None:
    assert distance(said.split(), written.split()) == expected
    assert distance(written.split(), said.split()) == expected


def test_errors_add_up() -> None:
    assert (WordErrors(1, 4) + WordErrors(2, 6)).share == pytest.approx(0.3)


# ── Times ────────────────────────────────────────────────────────────────────────────────────────

INTERIM = SpeechEventType.INTERIM_TRANSCRIPT
EARLY = SpeechEventType.PREFLIGHT_TRANSCRIPT
FINAL = SpeechEventType.FINAL_TRANSCRIPT


def event(kind: SpeechEventType, text: str) -> SpeechEvent:
    return SpeechEvent(kind, alternatives=[SpeechData(language=LanguageCode("en"), text=text)])


def test_early_words_count_from_the_first_transcript_with_the_final_words() -> None:
    events = [
        (0.5, event(INTERIM, "ten")),
        (1.1, event(EARLY, "ten of")),
        (1.2, event(EARLY, "ten of clubs")),
        (1.3, event(EARLY, "ten of clubs")),
        (1.4, event(FINAL, "ten of clubs")),
    ]
    times = find_times(events, 1.0)
    assert times.text == "ten of clubs"
    assert (times.early, times.final) == pytest.approx((0.2, 0.4))


def test_words_that_change_at_the_end_were_not_early() -> None:
    events = [
        (1.1, event(EARLY, "ten of clubs")),
        (1.2, event(EARLY, "ten of")),
        (1.4, event(FINAL, "ten of clubs")),
    ]
    assert find_times(events, 1.0).early == pytest.approx(0.4)


def test_a_clip_without_words_never_has_any() -> None:
    times = find_times([(1.1, event(EARLY, "ten"))], 1.0)
    assert (times.text, times.early, times.final) == ("", math.inf, math.inf)


# ── Clips ────────────────────────────────────────────────────────────────────────────────────────


def test_a_clip_arrives_on_every_channel_with_the_end_of_its_speech() -> None:
    clip = next(one for one in people() if one.text.startswith("Mary"))
    came = arrivals([clip], list(CHANNELS), people())
    assert [one.channel for one in came] == list(CHANNELS)
    for one in came:
        assert len(one.samples) == len(came[0].samples)
        assert one.ends == pytest.approx(len(one.samples) / RATE - AFTER)
        assert one.seconds == pytest.approx(one.ends - BEFORE)
    clean = came[0].samples
    assert not clean[: round(BEFORE * RATE)].any()
    assert clean[round(came[0].ends * RATE) - 1]
    assert not clean[round(came[0].ends * RATE) :].any()
    assert all((one.samples != clean).any() for one in came[1:])


def test_silence_around_speech_is_cut_off_and_within_is_not() -> None:
    loud = np.full(RATE // 10, 5000, np.int16)
    speech = np.concatenate([silence(1), loud, silence(0.4), loud, silence(1)])
    assert len(trim(speech)) == 0.6 * RATE


@pytest.fixture
async def engine() -> AsyncIterator[EmbeddedSTT]:
    engine = EmbeddedSTT()
    yield engine
    await engine.aclose()


async def test_an_engine_transcribes_a_clip(engine: EmbeddedSTT) -> None:
    clip = next(one for one in people() if one.text.startswith("Go forward"))
    (came,) = arrivals([clip], [CLEAN], people())
    assert compare(clip.text, await transcribe(engine, came.samples)).wrong <= 1


# ── Figures and the page ─────────────────────────────────────────────────────────────────────────


def measured(engine: str = "whisper", wrong: int = 0, **invented: str) -> Measured:
    said = "one two three four five six seven eight nine ten"
    written = " ".join(said.split()[wrong:])
    return Measured(
        engine=engine,
        transcribed=[
            Transcribed(speaker=speaker, channel=channel, text=said, written=written)
            for speaker in (PEOPLE, "flite rms")
            for channel in CHANNELS
        ],
        timings=[Timing(text=said, early=0.1 * n, final=FLUSH_AFTER + 0.1) for n in (1, 2, 3)],
        invented=invented,
        work=0.07,
        memory=2e8,
    )


def missed(*results: Measured) -> list[str]:
    return [str(goal) for goal in make_goals(results) if not goal.is_met]


def test_whisper_reaches_its_goals_without_a_wrong_word() -> None:
    assert len(make_goals([measured()])) == 3
    assert missed(measured()) == []


def test_a_word_for_a_sound_without_speech_misses_the_goal_and_names_it() -> None:
    (problem,) = missed(measured(crowd="Thank you."))
    assert "2, at most 0; crowd: 'Thank you.'" in problem


def test_many_wrong_words_miss_the_goals_of_both_channels() -> None:
    assert [problem.partition(":")[0] for problem in missed(measured(wrong=4))] == [
        f"wrong words of people, {CLEAN}",
        f"wrong words of people, {TELEPHONE}",
    ]


def test_goals_are_whispers_alone() -> None:
    assert make_goals([measured("embedded", wrong=9)]) == []


def test_a_speaker_who_was_left_out_has_no_share() -> None:
    assert math.isnan(share(measured(), ["piper joe"], CLEAN))
    assert share(measured(wrong=1), [PEOPLE, "flite rms"], CLEAN) == pytest.approx(0.1)


def test_the_tables_have_a_row_for_each_speaker_and_engine() -> None:
    both = [measured("embedded", wrong=2, wind="ah"), measured()]
    assert [row[:2] for row in errors_table(both[0]).rows] == [
        [PEOPLE, "20.0%"],
        ["flite rms", "20.0%"],
    ]
    assert times_table(both).rows[1] == [
        "whisper", "0.20", "0.30", "0.45", "0.45", "0.10", "0.10", "0.07", "200",
    ]  # fmt: skip
    assert [row[-1] for row in invented_table(both).rows] == ["wind", "none"]
    assert invented_words(both[0]) == 1


def test_the_page_shows_it_and_a_picture(tmp_path: Path) -> None:
    make_page([measured("embedded", wrong=3, wind="ah"), measured()]).write(tmp_path)
    page = (tmp_path / "hearing.md").read_text(encoding="utf-8")
    assert "30.0%" in page
    assert "10 words" in page
    assert (tmp_path / "hearing.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["--write", "--engines", "whisper"], "leave out --engines"),
        (["--write", "--speakers", "piper joe"], "leave them in"),
        (["--write", "--channels", "clean"], "leave them in"),
        (["--write", "--timed", "0"], "leave out --engines and --timed"),
        (["--check", "--engines", "embedded"], "leave them in"),
    ],
)
def test_arguments_that_cannot_work_are_refused_with_advice(
    words: list[str], advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        arguments(words)
    assert advice in capsys.readouterr().err
