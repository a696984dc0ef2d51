"""A phrase is for callers: programs that ask a RouterLLM get an answer or LiveKit's error."""

import json
from collections.abc import AsyncIterator

import pytest
from livekit.agents import (
    Agent,
    AgentSession,
    APIConnectionError,
    APIError,
    APIStatusError,
    ModelSettings,
    RunContext,
    function_tool,
    llm,
)
from livekit.agents.evals import relevancy_judge

from llm_router.integrations.livekit import ReplyError, RouterLLM
from llm_router.testing.server import Fault, Script
from llm_router.types import ToolCall
from tests.contracts.livekit_asking import (
    ANSWER,
    DOWN,
    HANG_UP,
    NOTHING,
    SORRY,
    asked,
    errors_of,
    opened,
    read,
    reply_of,
    text_of,
)
from tests.contracts.voiced import voiced

# ── 2. Side questions, and where phrases are due ──────────────────────────────────────────────────


async def test_collect_raises_the_failure_of_every_connection(via: str) -> None:
    async with opened(via, DOWN, DOWN) as (model, _):
        errors = errors_of(model)
        with pytest.raises(APIConnectionError, match="no connection could answer"):
            await model.chat(chat_ctx=asked()).collect()
    *attempts, whole = errors
    assert attempts
    assert all(error.recoverable for error in attempts)
    assert isinstance(whole, ReplyError)
    assert (whole.recoverable, whole.last_resort) == (False, True)


@pytest.mark.parametrize(
    ("behaviour", "status", "retryable"),
    [
        (Script(fault=Fault.STATUS, status=401), 401, False),
        (Script(fault=Fault.STATUS, status=402), 402, False),
        (Script(fault=Fault.STATUS, status=404), 404, False),
        (Script(fault=Fault.STATUS, status=400), 413, False),
        (Script(fault=Fault.STATUS, status=429), 429, True),
        (Script(fault=Fault.STATUS, status=503), 503, True),
        (Script(fault=Fault.REFUSE), None, True),
        (NOTHING, None, True),
    ],
)
async def test_an_error_says_whether_it_may_pass(
    via: str, behaviour: Script, status: int | None, *, retryable: bool
) -> None:
    async with opened(via, behaviour) as (model, _):
        with pytest.raises(APIError) as caught:
            await model.chat(chat_ctx=asked()).collect()
    assert caught.value.retryable == retryable
    if status is None:
        assert isinstance(caught.value, APIConnectionError)
    else:
        assert isinstance(caught.value, APIStatusError)
        assert caught.value.status_code == status


async def test_a_history_is_not_replaced_by_an_apology(via: str) -> None:
    history = asked(*[("user", f"Question {n}") for n in range(60)])
    before = history.to_dict()
    async with opened(via, DOWN) as (model, _):
        with pytest.raises(APIError):
            await history._summarize(model, keep_last_turns=0)
    assert history.to_dict() == before


async def test_a_history_is_summed_up(via: str) -> None:
    history = asked(*[("user", f"Question {n}") for n in range(6)])
    async with opened(via, Script(words=["They", " asked."])) as (model, _):
        await history._summarize(model, keep_last_turns=0)
    assert "They asked." in json.dumps(history.to_dict())
    assert len(history.items) == 1


async def test_a_judge_gets_a_verdict_or_an_error(via: str) -> None:
    verdict = ToolCall("v", "submit_verdict", '{"verdict": "pass", "reasoning": "polite"}')
    judge = relevancy_judge()
    async with opened(via, Script(words=(), tool_calls=[verdict])) as (model, servers):
        assert (await judge.evaluate(chat_ctx=asked(), llm=model)).passed
        assert servers[0].requests[0].body["temperature"] == 0.0
        assert servers[0].requests[0].body["tool_choice"] == "required"
    async with opened(via, DOWN) as (model, _):
        with pytest.raises(APIError):
            await judge.evaluate(chat_ctx=asked(), llm=model)


async def test_a_session_with_a_voice_hears_a_phrase_and_its_program_an_error(via: str) -> None:
    async with opened(via, DOWN, DOWN) as (model, _), voiced(model) as session:
        errors = errors_of(model)
        for _ in range(5):  # one more than LiveKit's patience with errors
            assert await reply_of(session) == SORRY
        whole = [error for error in errors if not error.recoverable]
    assert len(whole) == 5
    assert all(isinstance(error, ReplyError) and error.last_resort for error in whole)


async def test_a_session_without_a_voice_gets_the_error(via: str) -> None:
    async with (
        opened(via, Script(fault=Fault.STATUS, status=401)) as (model, _),
        AgentSession[None](llm=model) as session,
    ):
        await session.start(Agent(instructions="Be brief."))
        with pytest.raises(APIStatusError):
            await session.run(user_input="Hello?")


class OwnNode(Agent):
    """An agent that asks its LLM by itself, and asks a side question before."""

    def __init__(self, model: RouterLLM) -> None:
        super().__init__(instructions="Be brief.")
        self.model = model
        self.failed: list[BaseException] = []

    async def llm_node(
        self, chat_ctx: llm.ChatContext, tools: list[llm.Tool], model_settings: ModelSettings
    ) -> AsyncIterator[llm.ChatChunk]:
        for side_question in (self.model.text.chat, self.model.chat):
            try:
                await side_question(chat_ctx=asked()).collect()
            except APIError as error:
                self.failed.append(error)
        async with self.model.chat(chat_ctx=chat_ctx, tools=tools) as stream:
            async for chunk in stream:
                yield chunk


async def test_a_node_of_ones_own_speaks_but_its_side_questions_do_not(via: str) -> None:
    async with opened(via, DOWN) as (model, _):
        agent = OwnNode(model)
        async with voiced(model, agent) as session:
            assert await reply_of(session) == SORRY
    assert len(agent.failed) == 2


async def test_a_side_question_in_a_tool_of_a_voice_is_none_of_its_words(via: str) -> None:
    failed: list[BaseException] = []

    @function_tool(name="hang_up")
    async def asking(context: RunContext[None], reason: str) -> str:
        """Ends the call."""
        try:
            await context.session.llm.chat(chat_ctx=asked()).collect()  # type: ignore[union-attr]  # an LLM
        except APIError as error:
            failed.append(error)
        return reason

    def script(number: int) -> Script:
        if number == 0:
            return Script(words=(), tool_calls=[HANG_UP])
        return Script(words=["Bye."]) if number > 1 else Script(fault=Fault.STATUS, status=401)

    async with opened(via, script) as (model, _):
        agent = Agent(instructions="Be brief.", tools=[asking])
        async with voiced(model, agent) as session:
            await reply_of(session)
    assert len(failed) == 1


async def test_a_fallback_adapter_reaches_its_other_llm(via: str) -> None:
    async with opened(via, DOWN) as (down, _), opened(via, Script()) as (spare, _):
        adapter = llm.FallbackAdapter([down, spare])
        try:
            assert text_of(await read(adapter)) == ANSWER
            async with voiced(adapter) as session:
                assert await reply_of(session) == ANSWER
        finally:
            await adapter.aclose()


async def test_words_that_broke_off_are_an_error_to_a_program(via: str) -> None:
    broken = Script(fault=Fault.RESET_AFTER)
    async with opened(via, broken) as (model, _):
        with pytest.raises(APIError):
            await model.chat(chat_ctx=asked()).collect()
