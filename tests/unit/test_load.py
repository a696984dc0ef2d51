"""How full the models are, told from the processes that hold calls to the one that accepts them."""

import os
import time
from pathlib import Path

from livekit.agents import AgentServer

from agent.load import LoadBoard, LoadTeller, measure_load
from tests.events import REPLY


def told_by_another(folder: Path, load: str, age: float = 0.0) -> None:
    file = folder / "another"
    file.write_text(load)
    then = time.time() - age
    os.utime(file, (then, then))


def test_nothing_told_is_no_load(tmp_path: Path) -> None:
    assert LoadBoard(tmp_path / "not-there").read() == 0.0


def test_the_fullest_process_counts(tmp_path: Path) -> None:
    told_by_another(tmp_path, "0.25")
    board = LoadBoard(tmp_path)
    board.tell(0.75)
    assert board.read() == 0.75
    board.forget()
    assert board.read() == 0.25


def test_what_a_lost_process_told_is_forgotten_in_time(tmp_path: Path) -> None:
    told_by_another(tmp_path, "1.0", age=3600)
    assert LoadBoard(tmp_path).read() == 0.0


def test_a_half_written_word_is_passed_over(tmp_path: Path) -> None:
    told_by_another(tmp_path, "")
    LoadBoard(tmp_path).tell(0.5)
    assert LoadBoard(tmp_path).read() == 0.5


def test_each_reply_tells_the_board(tmp_path: Path) -> None:
    board = LoadBoard(tmp_path)
    teller = LoadTeller(board)
    teller.saturation = lambda: 0.5
    teller.reply_ended(REPLY)
    assert board.read() == 0.5


def test_full_models_are_load_though_the_processor_idles(tmp_path: Path) -> None:
    board = LoadBoard(tmp_path)
    board.tell(1.0)
    assert measure_load(board, limit=0.7)(AgentServer()) == 1.0


def test_without_a_limit_every_call_is_taken(tmp_path: Path) -> None:
    board = LoadBoard(tmp_path)
    board.tell(1.0)
    assert measure_load(board, limit=0.0)(AgentServer()) == 0.0
