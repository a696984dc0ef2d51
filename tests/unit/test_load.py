"""Tests how the processes that hold calls report the load of the models to the worker."""

import os
from pathlib import Path

from livekit.agents import AgentServer

from agent.load import LoadBoard, LoadReporter
from agent.starts import Starts
from agent.worker_load import measure_load
from llm_router.clock import SystemClock
from tests.events import REPLY


def reported_by_another(folder: Path, load: str, age: float = 0.0) -> None:
    file = folder / "another"
    file.write_text(load)
    then = SystemClock().wall() - age
    os.utime(file, (then, then))


def test_without_a_report_there_is_no_load(tmp_path: Path) -> None:
    assert LoadBoard(tmp_path / "not-there").read() == 0.0


def test_the_highest_load_counts(tmp_path: Path) -> None:
    reported_by_another(tmp_path, "0.25")
    board = LoadBoard(tmp_path)
    board.report(0.75)
    assert board.read() == 0.75
    board.remove()
    assert board.read() == 0.25


def test_the_report_of_a_lost_process_expires(tmp_path: Path) -> None:
    reported_by_another(tmp_path, "1.0", age=3600)
    assert LoadBoard(tmp_path).read() == 0.0


def test_a_half_written_report_is_ignored(tmp_path: Path) -> None:
    reported_by_another(tmp_path, "")
    LoadBoard(tmp_path).report(0.5)
    assert LoadBoard(tmp_path).read() == 0.5


def test_each_reply_is_reported_to_the_board(tmp_path: Path) -> None:
    board = LoadBoard(tmp_path)
    reporter = LoadReporter(board)
    reporter.saturation = lambda: 0.5
    reporter.reply_ended(REPLY)
    assert board.read() == 0.5


def test_busy_models_are_load_even_on_an_idle_processor(tmp_path: Path) -> None:
    board = LoadBoard(tmp_path)
    board.report(1.0)
    assert measure_load(board, Starts(tmp_path), limit=0.7)(AgentServer()) == 1.0


def test_without_a_limit_every_call_is_accepted(tmp_path: Path) -> None:
    board = LoadBoard(tmp_path)
    board.report(1.0)
    assert measure_load(board, Starts(tmp_path / "starts"), limit=0.0)(AgentServer()) == 0.0


def test_a_worker_whose_call_processes_do_not_start_is_sent_no_call(tmp_path: Path) -> None:
    starts = Starts(tmp_path / "starts")
    load = measure_load(LoadBoard(tmp_path), starts, limit=0.0)
    starts.failed()
    assert load(AgentServer()) == 1.0
    starts.succeeded(starts.failures)
    assert load(AgentServer()) == 0.0
