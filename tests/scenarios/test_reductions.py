"""A request that no endpoint can take whole is reduced, so that the caller gets an answer."""

from dataclasses import replace
from typing import Any

import pytest

from llm_router.errors import BrokenStreamError, StatusError
from llm_router.routing.reduce import shortened
from llm_router.testing import HANG, Step, fail, say
from llm_router.types import ChatRequest, Chunk, Message
from tests.scenarios.stage import Stage

ANSWER = "We open at nine in the morning."
TOOL = {"type": "function", "function": {"name": "hours", "parameters": {}}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
SEEN: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, PICTURE]},
        {"role": "assistant", "content": "A clock."},
        {"role": "user", "content": "When do you open?"},
    ]
}
TOO_LONG = StatusError(400, detail="This model's maximum context length is 600 tokens.")


def asked(s: Stage, endpoint: int = 0) -> list[ChatRequest]:
    return list(s.providers[endpoint].requests)


def turn(number: int) -> list[Message]:
    call = {"id": f"c{number}", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return [
        {"role": "user", "content": f"question {number} " + "x" * 300},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"c{number}", "content": "y" * 100},
        {"role": "assistant", "content": f"answer {number}"},
    ]


LONG: list[Message] = [
    {"role": "system", "content": "You answer the phone."},
    *[message for number in range(10) for message in turn(number)],
    {"role": "user", "content": "And on Sunday?"},
]


@pytest.mark.parametrize(
    ("request_", "lacks"),
    [
        (SEEN, {"supports_images": False}),
        ({"tools": [TOOL]}, {"supports_tools": False}),
        ({"response_format": {"type": "json_object"}}, {"supports_json": False}),
        ({"messages": LONG}, {"context_length": 500}),
    ],
)
def test_the_only_connection_is_asked_for_what_it_can_do(
    request_: dict[str, Any], lacks: dict[str, Any]
) -> None:
    s = Stage([say(ANSWER)])
    s.connections[0] = replace(s.connections[0], **lacks)
    [received] = s.ask(**request_)
    assert received.text == ANSWER
    [sent] = asked(s)
    assert not sent.tools
    assert sent.response_format is None
    assert "image_url" not in str(sent.messages)
    assert sum(len(str(m.get("content"))) for m in sent.messages) < 1500


def test_a_picture_is_replaced_by_a_note() -> None:
    s = Stage([say(ANSWER)])
    s.ask(**SEEN)
    [sent] = asked(s)
    assert sent.messages[0]["content"] == "What is this?\n[picture left out]"
    assert sent.messages[1:] == SEEN["messages"][1:]


def test_one_that_can_take_all_is_asked_first_and_one_that_cannot_is_no_hedge() -> None:
    s = Stage([say(ANSWER)], [say(ANSWER, first=0.6)])
    s.connections[0] = replace(s.connections[0], supports_tools=False)
    [received] = s.ask(tools=[TOOL])
    assert {chunk.connection for chunk in received.chunks} == {"b"}
    assert asked(s) == []


@pytest.mark.parametrize("fault", [fail(StatusError(401)), [HANG]], ids=["refuses", "hangs"])
def test_one_that_cannot_take_all_answers_when_the_other_does_not(fault: Any) -> None:
    s = Stage([say(ANSWER)], [fault])
    s.connections[0] = replace(s.connections[0], supports_tools=False)
    [received] = s.ask(tools=[TOOL])
    assert received.text == ANSWER
    assert not asked(s)[0].tools


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        ({"tools": [TOOL]}, StatusError(400, detail="gemma3:4b does not support tools")),
        (SEEN, StatusError(400, detail="This model does not support image input")),
        ({"messages": LONG}, TOO_LONG),
        ({"messages": LONG}, StatusError(413, detail="Payload too large")),
    ],
)
def test_what_a_refusal_shows_is_heeded_at_once_and_remembered(
    request_: dict[str, Any], refusal: StatusError
) -> None:
    s = Stage([fail(refusal), say(ANSWER), say(ANSWER)])
    s.connections[0] = replace(s.connections[0], supports_images=True)
    received = s.ask(turns=2, **request_)
    assert [each.text for each in received] == [ANSWER] * 2
    whole, first, second = asked(s)
    assert first == second
    assert whole != first


MANY_TOOLS = [{"type": "function", "function": {"name": "f", "description": "x" * 9000}}]


@pytest.mark.parametrize(
    "request_", [SEEN, {"messages": LONG, "tools": MANY_TOOLS}], ids=["pictures", "tools"]
)
def test_pictures_and_tools_that_are_too_long_shorten_no_words(request_: dict[str, Any]) -> None:
    s = Stage([fail(StatusError(413)), say(ANSWER)])
    s.connections[0] = replace(s.connections[0], supports_images=True)
    _, received = s.ask(turns=2, **request_)
    assert received.text == ANSWER
    assert all(sent.messages == request_["messages"] for sent in asked(s))


def test_a_refusal_that_less_does_not_cure_is_final() -> None:
    s = Stage([fail(StatusError(400, detail="gemma3:4b does not support tools"))])
    [received] = s.ask(tools=[TOOL])
    assert len(asked(s)) == 2
    assert received.text != ANSWER


def test_a_shortened_request_that_is_continued_keeps_its_question() -> None:
    head = Step(0.1, Chunk(text="We open at nine in the "))
    s = Stage([[head, *fail(BrokenStreamError("reset"))]], [say("morning.")])
    s.connections[1] = replace(s.connections[1], context_length=100)
    s.ask(messages=LONG)
    [sent] = asked(s, 1)
    assert len(sent.messages) < 10
    assert (sent.messages[0], sent.messages[-3]) == (LONG[0], LONG[-1])


# ── Shortening ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("room", [0, 100, 500, 1000, 2000, 5000, 100_000])
def test_a_history_is_shortened_from_its_middle(room: int) -> None:
    short = shortened(LONG, room)
    assert short[0] == LONG[0]
    assert short[-1] == LONG[-1]
    assert list(short) == [LONG[0], *LONG[len(LONG) - len(short) + 1 :]]
    calls = [call["id"] for m in short for call in m.get("tool_calls") or ()]
    assert calls == [m["tool_call_id"] for m in short if m["role"] == "tool"]


def test_a_long_result_of_the_last_turn_loses_its_middle() -> None:
    last = [*LONG[-1:], *turn(1)[1:3]]
    last[2] = {**last[2], "content": "start" + "z" * 10_000 + "end"}
    short = shortened([*LONG[:-1], *last], 1000)
    assert short[:2] == [LONG[0], LONG[-1]]
    assert len(short[-1]["content"]) < 1100
    assert short[-1]["content"].startswith("start")
    assert short[-1]["content"].endswith("end")
