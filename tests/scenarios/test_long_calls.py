"""Tool calls that take long to write, such as a whole file, for a reader of text."""

from contextlib import aclosing

import pytest

from llm_router.errors import BrokenStreamError
from llm_router.testing import HANG, Step, say
from llm_router.types import ChatRequest, Chunk, ToolCall
from tests.scenarios.stage import Stage

CALL = Chunk(tool_calls=(ToolCall("c1", "write_file", "{}"),), finish_reason="tool_calls")
SPARE = [[say("I am the spare.")]]


def writing(seconds: float, pause: float = 0.5) -> list[Step]:
    return [Step(pause, Chunk(calling=True))] * round(seconds / pause)


@pytest.mark.parametrize("before", [[], say("I write the file.", finish=None)])
@pytest.mark.parametrize("pause", [0.1, 2.0])
def test_a_call_may_take_as_long_as_it_grows(before: list[Step], pause: float) -> None:
    first = Step(0.1, Chunk(calling=True))
    stage = Stage([[*before, first, *writing(50, pause), Step(0.0, CALL)]], *SPARE)
    [received] = stage.ask(speech=False)
    assert received.tool_calls == ["write_file"]
    assert stage.outcomes == [("a", "won")]


def test_a_call_that_a_slow_server_begins_late_is_not_asked_for_again() -> None:
    stage = Stage([[Step(5.0, Chunk(calling=True)), *writing(50), Step(0.0, CALL)], [HANG], [HANG]])
    [received] = stage.ask(speech=False)
    assert received.tool_calls == ["write_file"]
    assert 55.0 <= received.first_word_at < 56.0


def test_a_call_that_stops_growing_is_made_by_another() -> None:
    stage = Stage([[Step(0.1, Chunk(calling=True)), *writing(20), HANG]], *SPARE)
    [received] = stage.ask(speech=False)
    assert received.text == "I am the spare."
    assert 30.0 <= received.first_word_at < 31.0


def test_words_do_not_wait_for_the_call_behind_them() -> None:
    words = say("I write the file.", finish=None)
    stage = Stage([[*words, Step(0.0, Chunk(calling=True)), *writing(40), Step(0.0, CALL)]])
    more: list[bool] = []

    async def main() -> None:
        router = stage.open_router()
        request = ChatRequest(messages=[{"role": "user", "content": "hi"}])
        async with aclosing(router.stream(request)) as reply:
            async for _ in reply:
                await stage.clock.sleep(0.05)  # the piece of the call is here meanwhile
                more.append(reply.has_more)
        await router.aclose()

    stage.clock.run(main())
    assert not any(more[len(words) - 1 :])


def test_a_continuation_may_write_a_long_call_too() -> None:
    broken = [*say("I write", finish=None), Step(0.0, error=BrokenStreamError("reset"))]
    going_on = [*say("I write", finish=None), *writing(50), Step(0.0, CALL)]
    stage = Stage([broken], [going_on])
    [received] = stage.ask(speech=False)
    assert received.tool_calls == ["write_file"]


def test_a_call_that_never_ends_is_given_up_when_the_time_of_the_reply_is_over() -> None:
    stage = Stage([[Step(0.1, Chunk(calling=True)), *writing(500)]])
    with pytest.raises(Exception, match="no connection could answer"):
        stage.ask(speech=False)
    assert stage.clock.now() < 130.0


def test_a_caller_who_listens_does_not_wait_for_a_call() -> None:
    stage = Stage([[Step(0.1, Chunk(calling=True)), *writing(20), Step(0.0, CALL)]], *SPARE)
    [received] = stage.ask()
    assert received.text == "I am the spare."
    assert received.first_word_at < 2.0
