"""An empty reply is an answer to a program and a failure to a caller."""

from typing import Any

import pytest

from llm_router.failures import is_silent_answer
from llm_router.testing import Step, say
from llm_router.types import Chunk, Usage
from tests.scenarios.stage import Stage

QUESTION = {"role": "user", "content": "Bye then."}
CALLED = {
    "role": "assistant",
    "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "hang_up", "arguments": "{}"}}
    ],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "hung up"}
INSTRUCTION = {"role": "system", "content": "If all is said, reply with nothing."}
PREAMBLE = {"role": "system", "content": "You are a receptionist."}
WORDS = {"role": "assistant", "content": "Goodbye!"}

FOR_PROGRAMS: dict[str, list[dict[str, Any]]] = {
    "a tool's result": [PREAMBLE, QUESTION, CALLED, RESULT],
    "an instruction after the agent's words": [QUESTION, WORDS, INSTRUCTION],
    "an instruction after a tool's result": [QUESTION, CALLED, RESULT, INSTRUCTION],
    "an instruction of a developer": [QUESTION, WORDS, {**INSTRUCTION, "role": "developer"}],
    "a result in the old form": [QUESTION, {"role": "function", "name": "f", "content": ""}],
}
FOR_CALLERS: dict[str, list[dict[str, Any]]] = {
    "a question": [PREAMBLE, QUESTION],
    "a question after a tool's result": [CALLED, RESULT, WORDS, QUESTION],
    "words of the agent, to be gone on with": [QUESTION, WORDS],
}
NOTHING = [Step(0.1, Chunk(finish_reason="stop")), Step(0.0, Chunk(usage=Usage(9, 0)))]
SPARE = say("We open at nine.", first=0.2)


def ask(stage: Stage, messages: list[dict[str, Any]], **fields: Any) -> Any:
    [received] = stage.ask(messages=messages, **fields)
    return received


@pytest.mark.parametrize("messages", FOR_PROGRAMS.values(), ids=FOR_PROGRAMS)
@pytest.mark.parametrize("speech", [True, False], ids=["voice", "text"])
def test_an_empty_reply_to_a_program_is_an_answer(
    messages: list[dict[str, Any]], *, speech: bool
) -> None:
    s = Stage([NOTHING], [SPARE])
    for received in s.ask(turns=4, messages=messages, speech=speech):
        assert received.text == ""
        assert [c.finish_reason for c in received.chunks if c.finish_reason] == ["stop"]
        assert [c.usage for c in received.chunks if c.usage] == [Usage(9, 0)]
    assert s.outcomes == [("a", "won")] * 4
    assert not s.providers[1].requests
    assert not s.replies[0].last_resort
    assert s.replies[0].first_word is None
    assert s.replies[0].connection == "a"


@pytest.mark.parametrize("messages", FOR_CALLERS.values(), ids=FOR_CALLERS)
def test_an_empty_reply_to_a_caller_is_a_failure(messages: list[dict[str, Any]]) -> None:
    s = Stage([NOTHING], [SPARE])
    assert ask(s, messages).text == "We open at nine."
    assert s.outcomes[0] == ("a", "empty")


@pytest.mark.parametrize("reason", ["length", "content_filter", "tool_calls", "error"])
def test_a_reply_that_was_lost_is_no_silence(reason: str) -> None:
    s = Stage([[Step(0.1, Chunk(finish_reason=reason))]], [SPARE])
    assert ask(s, FOR_PROGRAMS["a tool's result"]).text == "We open at nine."


def test_a_provider_that_ends_without_a_chunk_has_answered_a_program_not_a_caller() -> None:
    s = Stage([[Step(0.1)]], [SPARE])
    assert ask(s, FOR_PROGRAMS["a tool's result"]).text == ""
    assert s.outcomes == [("a", "won")]
    assert ask(s, FOR_CALLERS["a question"]).text == "We open at nine."
    assert s.outcomes[1:] == [("a", "empty"), ("b", "won")]


def test_white_space_and_thoughts_are_silence_too_and_are_not_said() -> None:
    script = [
        Step(0.1, Chunk(reasoning="Nothing to add.")),
        Step(0.1, Chunk(text=" \n")),
        Step(0.0, Chunk(text="\n", finish_reason="stop")),
    ]
    s = Stage([script], [SPARE])
    assert ask(s, FOR_PROGRAMS["a tool's result"]).text == ""
    assert s.outcomes == [("a", "won")]


def test_a_program_may_say_itself_who_is_answered() -> None:
    s = Stage([NOTHING], [SPARE])
    instructed = [QUESTION, INSTRUCTION]
    assert ask(s, instructed, silence_is_answer=False).text == "We open at nine."
    assert ask(s, [QUESTION], silence_is_answer=True).text == ""


def test_words_that_break_off_are_continued_and_never_ended_by_silence() -> None:
    broken = [*say("We open at", finish=None), Step(0.0)]
    s = Stage([broken], [NOTHING], [say(" nine.", first=0.2)])
    assert ask(s, FOR_PROGRAMS["a tool's result"]).text == "We open at nine."


@pytest.mark.parametrize("reason", ["stop", "end_turn", "eos", "stop_sequence"])
def test_every_spelling_of_a_whole_end_counts(reason: str) -> None:
    assert is_silent_answer(Chunk(finish_reason=reason), may_be_silent=True)
    assert not is_silent_answer(Chunk(finish_reason=reason), may_be_silent=False)
