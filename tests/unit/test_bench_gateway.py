"""The goals, the page, the model server and the clients of the gateway's bench."""

import asyncio
import math
from pathlib import Path

import pytest

from bench.gateway.contenders import direct
from bench.gateway.load import Stream, Target, ask_often
from bench.gateway.measure import PACED, Run
from bench.gateway.model import GAP, WORDS, model
from bench.gateway.page import make_goals, make_page
from bench.gateway.usage import processor_seconds, resident_bytes

TEXT = "".join(WORDS)


def whole(way: float = 0.001, gap: float = GAP) -> Stream:
    """A reply that came over this way in, and the same way out."""
    return Stream(0.1 + 2 * way, way, way, [gap] * 63, 64, TEXT, has_reason=True, has_end=True)


def a_run(
    name: str,
    streams: list[Stream],
    work: float,
    *,
    breaks: bool = False,
    callers: int = 100,
    pace: float = GAP,
) -> Run:
    return Run(
        name=name, callers=callers, pace=pace, is_breaking=breaks, streams=streams,
        broken=int(breaks), work=work, memory=10_000.0,
    )  # fmt: skip


def some_runs(
    *, work: float = 0.1, gap: float = GAP, way: float = 0.0012, cut: str = TEXT
) -> list[Run]:
    broken = Stream(0.1, 0.001, 0.001, [GAP], 2, cut, has_reason=True, has_end=True)
    return [
        a_run("no gateway", [whole()], 0.0, pace=PACED),
        a_run("bare relay", [whole(0.0011)], 0.1, pace=PACED),
        a_run("Patchbay", [whole(way)], 0.1, pace=PACED),
        a_run("Patchbay", [whole(0.5, gap)], work),
        a_run("LiteLLM", [whole(0.2, 0.1)], 0.6),
        a_run("Patchbay", [broken], work, breaks=True),
    ]


def missed(runs: list[Run]) -> list[str]:
    return [goal.name for goal in make_goals(runs) if not goal.is_met]


def test_a_run_that_meets_every_promise_misses_nothing() -> None:
    assert missed(some_runs()) == []


def test_each_promise_is_judged_by_its_own_figure() -> None:
    assert missed(some_runs(work=0.13)) == ["LiteLLM's streams a core over ours, 100 streams"]
    assert missed(some_runs(gap=0.11)) == ["our p99 gap over LiteLLM's, 100 streams"]
    assert missed(some_runs(way=0.00155)) == ["first word added at p99, 100 streams"]
    assert missed(some_runs(way=0.00165)) == [
        "first word added at p99, 100 streams",
        "the same beyond the relay's, 100 streams",
    ]
    assert missed(some_runs(cut=TEXT[:-3])) == ["replies of ours that were not whole"]


def test_a_run_without_peers_is_judged_by_its_replies_alone() -> None:
    alone = [a_run("Patchbay", [whole()], 0.1, callers=10)]
    assert [goal.name for goal in make_goals(alone)] == ["replies of ours that were not whole"]


@pytest.mark.parametrize(
    "changes",
    [{"text": TEXT + WORDS[-1]}, {"has_reason": False}, {"has_end": False}, {"has_error": True}],
)
def test_a_reply_is_whole_with_every_word_once_its_reason_and_its_end(
    changes: dict[str, object],
) -> None:
    stream = whole()
    assert stream.is_whole
    for name, value in changes.items():
        setattr(stream, name, value)
    assert not stream.is_whole


def test_a_stream_without_words_counts_as_endless() -> None:
    run = a_run("Patchbay", [Stream(), whole()], 0.1)
    assert math.isinf(run.first_word(0.99))
    assert math.isinf(run.ways(0.99))
    assert run.fidelity == 1.0
    assert run.per_core == 10.0


def test_the_page_has_the_figures_and_a_picture(tmp_path: Path) -> None:
    make_page(some_runs(work=0.13), {"litellm": "1.2.3"}).write(tmp_path)
    shown = (tmp_path / "gateway.md").read_text(encoding="utf-8")
    assert (tmp_path / "gateway.png").stat().st_size > 0
    for cell in ("MISSED", "litellm 1.2.3", "| 100 | LiteLLM | 1.7 |", "one stream in 100"):
        assert cell in shown


async def test_the_model_server_breaks_one_stream_in_so_many_and_continues_the_rest() -> None:
    async with model() as server, direct(server.addresses) as gateway:
        await server.break_one_in(2)
        streams = await ask_often(gateway.target, 6, 0.0, GAP)
        assert await server.break_one_in(0) == 3
        cut = [stream for stream in streams if not stream.is_whole]
        assert [stream.pieces for stream in cut] == [32] * 3
        healthy = [stream for stream in streams if stream.is_whole]
        assert [stream.pieces for stream in healthy] == [64] * 3
        for stream in streams:
            taken = stream.first_word - stream.way_in - stream.way_out
            assert 0.1 <= taken <= stream.first_word
        assert processor_seconds(server.process.pid) > 0
        assert resident_bytes(server.process.pid) > 1_000_000


async def test_a_client_that_is_refused_gets_no_reply() -> None:
    async with model() as server:
        target = Target(server.addresses[0].replace("/v1", "/nowhere"), "m")
        async with asyncio.timeout(20):
            [stream] = await ask_often(target, 1, 0.0, GAP)
        assert not stream.is_whole
        assert math.isnan(stream.first_word)
