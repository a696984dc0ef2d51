"""Tests that an answer is complete when a real server fails behind the router."""

from contextlib import aclosing
from typing import Any

import pytest

from llm_router import open_router
from llm_router.failures import FailureClass
from tests.live.engines import Engine
from tests.live.exchanges import LONG
from tests.live.receptionist import ANSWERS, answer, ask
from tests.live.routed import PATIENT, Routed


async def test_a_spare_finishes_the_answer_of_a_killed_server(
    slow_engine: Engine, spare: Engine
) -> None:
    async with slow_engine.provider() as provider:
        await answer(provider, ask("hours"))  # its model is in memory: a cold one is not waited for
    connections = [
        slow_engine.connection(name="first"),
        spare.connection(name="spare", priority=1, hedge="never"),
    ]
    texts: dict[str, str] = {}
    async with (
        open_router(connections, policy="priority", options=PATIENT) as router,
        aclosing(router.stream(ask(LONG))) as reply,
    ):
        async for chunk in reply:
            texts[chunk.connection] = texts.get(chunk.connection, "") + chunk.text
            if "three" in chunk.text:
                slow_engine.kill()
    await slow_engine.stop()
    assert "".join(texts.values()) == ANSWERS[LONG]
    assert [*texts] == ["first", "spare"]
    assert len(texts["first"]) < len(texts["spare"])


@pytest.mark.parametrize(
    ("field", "value"), [("model_name", "nobody"), ("api_key", "wrong")], ids=["model", "key"]
)
async def test_a_spare_answers_where_a_server_refuses_the(
    engine: Engine, spare: Engine, field: str, value: Any
) -> None:
    refused = {"model_name": engine.kind.unknown_model, "api_key": engine.kind.wrong_key}[field]
    async with engine.provider(**{field: value}) as first, spare.provider() as second:
        routed = Routed(first, second)
        assert await routed.answer(ask("hours")) == ANSWERS["hours"]
    assert routed.attempts[0] == ("0", refused or "won")


async def test_a_spare_answers_while_a_server_restarts(slow_engine: Engine, spare: Engine) -> None:
    async with slow_engine.provider() as first, spare.provider() as second:
        await slow_engine.stop()
        down = Routed(first, second)
        assert await down.answer(ask("hours")) == ANSWERS["hours"]
        assert down.attempts == [("0", FailureClass.UNREACHABLE), ("1", "won")]
        await slow_engine.run()
        up = Routed(first)
        assert await up.answer(ask("hours")) == ANSWERS["hours"]
