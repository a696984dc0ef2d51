"""A person reads the log of a service without its JSON."""

import json
from pathlib import Path

import pytest

from deploy import service_log


def record(level: str, message: str, name: str = "agent", **more: str) -> str:
    return json.dumps({"level": level, "name": name, "message": message, **more})


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        ([], []),
        ([record("INFO", "starting"), record("INFO", "ready")], ["starting", "ready"]),
        ([record("INFO", "starting"), record("WARNING", "slow")], ["slow"]),
        ([record("WARNING", "slow"), "LIVEKIT_URL: correct it"], ["LIVEKIT_URL: correct it"]),
        (
            [record("ERROR", "bug", exc_info="Traceback\n  line 1")],
            ["bug", "Traceback", "  line 1"],
        ),
        (["INFO agent.api serving", "port 80 is taken"], ["port 80 is taken"]),
        (["WARNING agent.api odd", "INFO agent.api serving"], ["odd"]),
        (['{"level": "INFO"}', "[1]", '"text"'], ['{"level": "INFO"}', "[1]", '"text"']),
    ],
)
def test_the_end_of_a_log_shows_the_worst_of_it(
    tmp_path: Path, lines: list[str], shown: list[str]
) -> None:
    log = tmp_path / "worker.log"
    log.write_text("\n".join(lines))
    assert service_log.summary(log) == shown


def test_warnings_of_one_logger_are_shown_once(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    lines = [
        record("WARNING", "no voice"),
        record("WARNING", "no voice"),
        record("INFO", "ready"),
        record("WARNING", "of a library", name="livekit.agents"),
    ]
    log.write_text("\n".join(lines))
    assert service_log.warnings(log, "agent") == ["no voice"]
    assert service_log.warnings(tmp_path / "missing", "agent") == []


def test_the_lines_about_one_matter_are_found_by_their_beginning(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    lines = [
        record("INFO", "Speech: STT whisper, TTS piper"),
        record("INFO", "Speech: of a library", name="livekit"),
        record("INFO", "ready"),
    ]
    log.write_text("\n".join(lines))
    found = service_log.beginning(log, "agent", "Speech: ")
    assert found == ["Speech: STT whisper, TTS piper"]
