"""The engines bench: what is taken from an answer, and what is shown of it."""

from pathlib import Path

import pytest

from bench.engines.asking import Answer, WrongAnswerError, answers
from bench.engines.page import HEAD, rows, write
from llm_router import Connection
from llm_router.testing.server import FaultyServer, Script
from tests.live.receptionist import ANSWERS


def answer(first_word: float) -> Answer:
    return Answer(
        first_byte=first_word / 2,
        first_word=first_word,
        last_word=first_word + 0.5,
        end=first_word + 0.6,
        pieces=101,
    )


FOUND = {"direct": [answer(0.010)], "router": [answer(0.012)]}


def test_each_figure_is_shown_both_ways_with_its_ratio() -> None:
    shown = {cells[0]: cells[1:] for cells in rows(FOUND)}
    assert shown["first word, ms"] == ["10.0"] * 3 + ["12.0"] * 3 + ["1.20", ""]
    assert shown["tokens a second"][0] == "200.0"
    assert {len(cells) for cells in rows(FOUND)} == {len(HEAD)}


def test_the_page_shows_it_and_a_picture(tmp_path: Path) -> None:
    page = tmp_path / "engines.md"
    write(page, {"llama_cpp": FOUND}, runs=1)
    assert "1.20" in page.read_text(encoding="utf-8")
    assert page.with_suffix(".png").stat().st_size > 0


async def test_the_answer_is_timed_both_ways_and_the_warm_up_is_not_counted() -> None:
    words = ANSWERS["count"].split(" ")
    script = Script(words=[words[0], *(f" {word}" for word in words[1:])])
    async with FaultyServer(script) as server:
        connection = Connection(name="one", base_url=server.base_url, model_name=server.model)
        found = await answers(connection, 2, 3, lambda _: None)
        assert len(server.requests) == 10
    assert {way: len(of_way) for way, of_way in found.items()} == {"direct": 3, "router": 3}
    for one in [*found["direct"], *found["router"]]:
        assert 0 < one.first_byte <= one.first_word < one.last_word <= one.end
        assert one.rate > 0


async def test_another_answer_than_the_known_one_stops_the_bench() -> None:
    async with FaultyServer(Script(words=["No."])) as server:
        connection = Connection(name="one", base_url=server.base_url, model_name=server.model)
        with pytest.raises(WrongAnswerError):
            await answers(connection, 0, 1, lambda _: None)
