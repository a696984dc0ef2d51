"""Tests the answers of every real server: word for word, or with the expected failure."""

from contextlib import aclosing

import pytest

from llm_router.errors import UnreachableError
from llm_router.failures import FailureClass
from tests.live.engines import Engine, marks
from tests.live.exchanges import EXCHANGES, LONG, Exchange
from tests.live.kinds import SERVERS
from tests.live.receptionist import ANSWERS, answer, ask


async def test_every_answer_is_complete_word_for_word(engine: Engine) -> None:
    async with engine.provider() as provider:
        for name, expected in ANSWERS.items():
            found = await answer(provider, ask(name))
            assert found.matches(expected), (name, found)
            assert found.finish_reason == "stop"
            assert found.pieces > 1


async def test_tokens_are_counted(engine: Engine) -> None:
    async with engine.provider() as provider:
        usage = (await answer(provider, ask(LONG))).usage
    assert (usage is not None) == engine.kind.counts_tokens
    assert usage is None or (usage.prompt_tokens > 20 and usage.completion_tokens > 100)


EXCHANGES_BY_KIND = [
    pytest.param(kind, exchange, id=f"{kind.name}-{exchange.name}", marks=marks(kind))
    for kind in SERVERS
    for exchange in EXCHANGES.values()
    if exchange.is_for(kind) and not exchange.kill_after
]


@pytest.mark.parametrize(("engine", "exchange"), EXCHANGES_BY_KIND, indirect=["engine"])
async def test_it_answers_as_its_kind_says(engine: Engine, exchange: Exchange) -> None:
    async with engine.provider(**exchange.fields) as provider:
        found = await answer(provider, exchange.request)
    assert found.matches(exchange.expected(engine.kind)), found


async def test_its_models_are_listed(engine: Engine) -> None:
    async with engine.provider() as provider:
        await provider.probe()
        names = await provider.models()
    assert [name.removesuffix(":latest") for name in names] == ["tiny-receptionist"]


async def test_a_closed_stream_ends_the_servers_work(slow_engine: Engine) -> None:
    async with slow_engine.provider() as provider:

        async def close_at_the_first_word() -> None:
            async with aclosing(provider.stream(ask(LONG))) as stream:
                async for chunk in stream:
                    if chunk.text:
                        break

        whole = await slow_engine.work(answer(provider, ask(LONG)))
        assert await slow_engine.work(close_at_the_first_word()) < whole / 2
        again = await answer(provider, ask("hours"))
    assert again.matches(ANSWERS["hours"]), again


async def test_a_server_killed_amid_an_answer_works_again_after_a_restart(
    slow_engine: Engine,
) -> None:
    async with slow_engine.provider() as provider:
        cut = await answer(provider, ask(LONG), after="three", then=slow_engine.kill)
        assert cut.matches(FailureClass.BROKEN_STREAM), cut
        assert "three" in cut.text
        assert ANSWERS[LONG].startswith(cut.text)
        assert cut.text != ANSWERS[LONG]
        await slow_engine.stop()
        gone = await answer(provider, ask("hours"))
        assert gone.matches(FailureClass.UNREACHABLE), gone
        with pytest.raises(UnreachableError):
            await provider.probe()
        await slow_engine.run()
        back = await answer(provider, ask("hours"))
    assert back.matches(ANSWERS["hours"]), back
