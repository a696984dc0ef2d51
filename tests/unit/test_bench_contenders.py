"""The model servers and the contenders of the benches."""

import ast
import asyncio
import re
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from bench.first_word.cases import CASES, FAULTS, HEALTHY, Case, one_in
from bench.first_word.contender_process import Callers, start_contender
from bench.first_word.contenders import CONTENDERS, Contender
from bench.first_word.one_server import CASES as ONE_SERVER_CASES
from bench.peers import runner
from bench.peers.bare_stream import bare_stream
from bench.peers.runner import take_turn
from bench.servers.model_server import Work, model_server
from bench.servers.reply import BREAKS_AFTER, REPLY, script
from llm_router.testing.server import Fault

ROOT = Path(__file__).parents[2]
HANG = next(case for case in CASES if case.name == "hang")


def test_no_word_of_the_reply_comes_twice() -> None:
    words = REPLY.split()
    assert (len(words), len(set(words))) == (40, 40)


def test_the_reply_has_a_character_that_can_be_cut_in_half() -> None:
    assert not REPLY.isascii()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_fault_changes_what_a_server_does_and_little_else(case: Case) -> None:
    healthy, faulty = script(0.15, {}), script(0.15, case.primary)
    assert "".join(healthy.words) == REPLY
    assert healthy.fault is Fault.NONE
    assert (faulty == healthy) == (case is HEALTHY)
    assert (faulty.gap, faulty.after) == (healthy.gap, BREAKS_AFTER)
    assert script(0.15, case.spare) == (faulty if case.strikes_both else healthy)


def test_every_fault_is_run_with_a_healthy_spare_and_with_a_failing_one() -> None:
    run = {script(0.0, case.primary).fault for case in CASES}
    assert run == set(Fault)
    names = {case.name for case in CASES}
    assert len(names) == len(CASES)
    assert all(f"{case.name}_both" in names for case in FAULTS)


async def test_a_model_server_fails_one_request_in_so_many_and_counts_its_words() -> None:
    async with model_server(0.0) as server, bare_stream([server.base_url]) as ask:
        await server.behave({"fault": Fault.RESET_AFTER}, one_in(2))
        replies = [_text(await take_turn(ask)) for _ in range(2)]
        assert replies == [REPLY, " ".join(REPLY.split()[:BREAKS_AFTER])]
        assert await server.work() == Work(words=40 + BREAKS_AFTER, requests=2)


async def test_the_pattern_of_a_fault_begins_with_the_next_request() -> None:
    async with model_server(0.0) as server, bare_stream([server.base_url]) as ask:
        whole = []
        for _ in range(2):
            await server.behave({"fault": Fault.NO_FINISH_REASON, "words": ["Yes,"]}, [True, False])
            whole += [_text(await take_turn(ask)) == REPLY for _ in range(3)]
        assert whole == [False, True, False] * 2


async def test_a_server_refuses_connections_where_that_is_the_fault() -> None:
    async with model_server(0.0) as server, bare_stream([server.base_url]) as ask:
        await server.behave({"fault": Fault.REFUSE})
        assert (await take_turn(ask))["ending"] == "ConnectError"


async def test_the_words_before_an_error_of_a_contender_count() -> None:
    async def ask() -> AsyncGenerator[str, None]:
        yield "Yes,"
        raise ConnectionError

    turn = await take_turn(ask)
    assert (_text(turn), turn["ending"]) == ("Yes,", "ConnectionError")


async def test_a_contender_s_own_time_limit_is_no_hang_up() -> None:
    async def ask() -> AsyncGenerator[str, None]:
        yield "Yes,"
        raise TimeoutError

    assert (await take_turn(ask))["ending"] == "TimeoutError"


async def test_a_caller_without_a_word_hangs_up_and_the_reply_is_closed() -> None:
    closed = asyncio.Event()

    async def ask() -> AsyncGenerator[str, None]:
        try:
            await asyncio.get_running_loop().create_future()
            yield ""
        finally:
            closed.set()

    turn = await take_turn(ask, patience=0.01)
    assert (turn["pieces"], turn["ending"]) == ([], "hung up")
    assert closed.is_set()


async def test_a_case_is_run_against_a_contender_in_a_process_of_its_own() -> None:
    ours = next(one for one in CONTENDERS if one.product == "Patchbay" and not one.healthy_turns)
    async with start_contender(ours, Callers(at_once=1)) as process:
        row = await process.run(HANG, turns=4)
        alone = await process.run(_one_server_case("healthy"), turns=1)
        breaks = await process.run(_one_server_case("reset_both"), turns=2)
    assert [turn.outcome for turn in row.turns] == ["whole"] * 4
    assert (row.generated, row.requests) == (4 * 40, 2 * 4)
    assert (alone.whole, alone.requests_per_turn) == (1, 1)
    assert all(turn.text.startswith(" ".join(REPLY.split()[:30])) for turn in breaks.turns)
    assert breaks.requests >= 2 * 2, "the pattern begins anew with each turn"
    assert set(process.versions) == {"patchbay", "httpx2"}


async def test_a_contender_that_ends_is_named() -> None:
    broken = Contender("A broken one", "bench.peers.none_such")
    with pytest.raises(RuntimeError, match="A broken one, cold did not answer"):
        async with start_contender(broken, Callers()):
            pass


def test_a_peer_needs_nothing_of_ours_but_the_runner() -> None:
    apart = {one.module for one in CONTENDERS if one.environment}
    assert apart
    for module in apart:
        assert _imports(module) & {"bench", "llm_router", "deploy", "agent"} == {"bench"}
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
        assert set(re.findall(r"from (bench\S*)", source)) == {runner.__name__}
    assert _imports(runner.__name__) <= sys.stdlib_module_names


@pytest.mark.parametrize("name", sorted({one.environment for one in CONTENDERS if one.environment}))
def test_a_peer_s_lock_carries_hashes_and_no_address(name: str) -> None:
    lock = (ROOT / "deploy" / "locks" / f"{name}.lock").read_text()
    packages = re.findall(r"^[a-z0-9].*==", lock, re.MULTILINE)
    assert len(packages) > 10
    assert lock.count(" \\\n    --hash=sha256:") >= len(packages)
    assert "://" not in lock


def _one_server_case(name: str) -> Case:
    return next(case for case in ONE_SERVER_CASES if case.name == name)


def _imports(module: str) -> set[str]:
    """Returns the top-level packages that a module imports."""
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def _text(turn: dict[str, object]) -> str:
    pieces = turn["pieces"]
    assert isinstance(pieces, list)
    return "".join(text for _, text in pieces)
