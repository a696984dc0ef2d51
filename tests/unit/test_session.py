"""Tests how a call is built: its phrases, and a session that contacts no other machine."""

from pathlib import Path

import pytest
from livekit.agents.telemetry.loop_monitor import LoopMonitorThresholds

from agent.end_of_turn.detector import EndOfTurn
from agent.phrase_file import load_phrases
from agent.session import (
    Engines,
    TurnOptions,
    build_session,
    check_loops_less_often,
    load_vad,
    room_options,
)
from agent.speech.samples import RATE
from agent.speech.stt import STTOptions
from agent.speech.tts import TTSOptions
from agent.stt import load as load_stt
from agent.tts import load as load_tts
from llm_router import open_router
from llm_router.connections.record import Connection
from llm_router.errors import ConfigurationError
from llm_router.integrations.livekit import RouterLLM

SHIPPED = Path(__file__).parents[2] / "config" / "prompts" / "phrases.toml"
OCCASIONS = (
    "greeting",
    "goodbye",
    "sorry",
    "closing",
    "filler.late",
    "filler.very_late",
    "still_there",
    "limit.message",
    "limit.rate",
    "limit.call",
    "limit.soon",
    "limit.time",
    "keypad.confirm",
    "voicemail.greeting",
    "voicemail.failed",
    "keypad.confirm_secret",
    "reception.moment",
    "reception.busy",
    "reception.place",
    "reception.offer",
    "reception.noted",
    "reception.connect",
    "reception.sorry",
)


def write(folder: Path, text: str) -> Path:
    file = folder / "phrases.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_phrases_are_found_by_language_and_occasion(tmp_path: Path) -> None:
    phrases = load_phrases(write(tmp_path, '[de]\nsorry = ["Pardon."]\nfiller.late = ["So."]'))
    assert phrases.pick("sorry", "de-AT", 0) == "Pardon."
    assert phrases.pick("filler.late", "de", 5) == "So."


@pytest.mark.parametrize("occasion", OCCASIONS)
def test_the_shipped_file_has_a_phrase_for_every_occasion_in_every_language(occasion: str) -> None:
    phrases = load_phrases(SHIPPED)
    languages = phrases.by_language.items()
    missing = [code for code, by_occasion in languages if not by_occasion.get(occasion)]
    assert missing == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[en", "phrases.toml"),
        ('en = "hello"', "en should be a table"),
        ('[en]\nsorry = "Pardon."', "en.sorry should be a list"),
        ("[en]\nsorry = []", "en.sorry should be a list"),
        ("[en]\nfiller.late = [1]", "en.filler.late should be a list"),
    ],
)
def test_an_invalid_phrase_file_is_refused_with_the_place(
    tmp_path: Path, text: str, named: str
) -> None:
    with pytest.raises(ConfigurationError, match=named):
        load_phrases(write(tmp_path, text))


def test_a_missing_phrase_file_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"PHRASES_FILE: there is no gone\.toml"):
        load_phrases(Path("gone.toml"))


async def test_a_session_retries_nothing_and_uses_no_cloud() -> None:
    engines = Engines(
        stt=load_stt("embedded", STTOptions(language="en")),
        tts=load_tts("embedded", TTSOptions(language="en")),
        vad=load_vad(TurnOptions()),
    )
    async with open_router([Connection(name="desk", provider="offline")]) as router:
        session = build_session(RouterLLM(router), engines, TurnOptions())
        options = session.conn_options
        assert options.llm_conn_options.max_retry == 0
        assert options.max_unrecoverable_errors > 1000
        assert session.options.interruption["mode"] == "vad"
        assert session.options.preemptive_generation["preemptive_tts"]  # the voice costs nothing
        detector = session.turn_detection
        assert isinstance(detector, EndOfTurn)
        assert detector.model == "turn-detector-v1-mini"
        await session.aclose()


def test_a_caller_may_speak_type_listen_and_read() -> None:
    options = room_options()
    assert options.get_audio_input_options()
    assert options.get_audio_output_options()
    assert options.get_text_output_options()
    assert not options.delete_room_on_close  # `hang_up_at_end` does, unless it was sent out


def test_the_callers_sound_comes_at_the_rate_of_the_recognisers() -> None:
    sound = room_options().get_audio_input_options()
    assert sound
    assert sound.sample_rate == RATE


@pytest.mark.parametrize(("own", "seconds"), [(None, 0.25), ("40", 0.04), ("0", None)])
def test_loops_are_checked_less_often_unless_the_environment_says_how_often(
    monkeypatch: pytest.MonkeyPatch, own: str | None, seconds: float | None
) -> None:
    monkeypatch.setenv("LIVEKIT_AGENTS_LOOP_BLOCK_WARN_MS", own or "")
    if own is None:
        monkeypatch.delenv("LIVEKIT_AGENTS_LOOP_BLOCK_WARN_MS")
    check_loops_less_often()
    thresholds = LoopMonitorThresholds.from_env()
    assert (thresholds and thresholds.warn) == seconds
