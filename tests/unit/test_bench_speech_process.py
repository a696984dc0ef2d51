"""The page of the bench of the speech process says what was measured."""

import os
from pathlib import Path

import pytest

from bench.report.processes import Memory, children, memory_of, work_of
from bench.speech_process.callers import Waits
from bench.speech_process.memory import MemoryUse
from bench.speech_process.page import make_page


def test_a_page_shows_memory_and_waits_with_and_without_sharing() -> None:
    shared = MemoryUse(calls=[Memory(90, 100), Memory(92, 100)], speech=Memory(400, 410))
    apart = MemoryUse(calls=[Memory(500, 510), Memory(502, 510)], speech=None)
    waits = Waits(callers=2, shared=True, text=[0.2, 0.4], sound=[0.1, 0.1], interim=4, refused=1)
    waits.work, waits.seconds = 5.0, 10.0
    cells = make_page([shared, apart], [waits]).text.split()
    assert {"610", "1,020", "25%", "4.0"} <= {*cells}


def test_a_turn_waits_for_its_words_and_then_for_its_sound() -> None:
    waits = Waits(callers=1, shared=True, text=[0.25, 0.5], sound=[0.25, 0.125])
    assert waits.both == [0.5, 0.625]


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux")
def test_a_process_holds_memory_and_takes_time() -> None:
    memory = memory_of(os.getpid())
    assert 1 < memory.own < memory.share
    assert work_of(os.getpid()) > 0
    assert os.getpid() not in children()
