"""The engines bench: the figures of answers, and its page."""

from pathlib import Path

import pytest

from bench.engines.answers import Answer, WrongAnswerError, collect_answers
from bench.engines.page import answers_table, make_page
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


ANSWERS_BY_CLIENT = {"direct": [answer(0.010)], "router": [answer(0.012)]}


def test_each_figure_is_shown_both_ways_with_its_ratio() -> None:
    table = answers_table(ANSWERS_BY_CLIENT)
    shown = {cells[0]: cells[1:] for cells in table.rows}
    assert shown["first word, ms"] == ["10.0"] * 3 + ["12.0"] * 3 + ["1.20"]
    assert shown["tokens a second"][0] == "200.0"
    assert {len(cells) for cells in table.rows} == {len(table.head)}


def test_the_page_shows_it_and_a_picture(tmp_path: Path) -> None:
    page = tmp_path / "engines.md"
    make_page({"llama_cpp": ANSWERS_BY_CLIENT}, runs=1).write(tmp_path)
    assert "1.20" in page.read_text(encoding="utf-8")
    assert page.with_suffix(".png").stat().st_size > 0


async def test_the_answer_is_timed_both_ways_and_the_warm_up_is_not_counted() -> None:
    words = ANSWERS["count"].split(" ")
    script = Script(words=[words[0], *(f" {word}" for word in words[1:])])
    async with FaultyServer(script) as server:
        connection = Connection(name="one", base_url=server.base_url, model_name=server.model)
        answers = await collect_answers(connection, 2, 3, lambda _: None)
        assert len(server.requests) == 10
    assert {client: len(own) for client, own in answers.items()} == {"direct": 3, "router": 3}
    for one in [*answers["direct"], *answers["router"]]:
        assert 0 < one.first_byte <= one.first_word < one.last_word <= one.end
        assert one.rate > 0


async def test_another_answer_than_the_known_one_stops_the_bench() -> None:
    async with FaultyServer(Script(words=["No."])) as server:
        connection = Connection(name="one", base_url=server.base_url, model_name=server.model)
        with pytest.raises(WrongAnswerError):
            await collect_answers(connection, 0, 1, lambda _: None)
