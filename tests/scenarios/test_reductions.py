"""A request that no endpoint can take whole is reduced, so that the caller gets an answer."""

from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from llm_router.errors import BrokenStreamError, StatusError
from llm_router.routing.reduce import shortened
from llm_router.testing import HANG, Step, fail, say
from llm_router.types import ChatRequest, Chunk, Message
from tests.scenarios.stage import HELLO, Stage

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
NOTED = "What is this?\n[picture left out]"
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
    assert sent.messages[0]["content"] == NOTED
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


def conversation(s: Stage, *requests: dict[str, Any]) -> list[str]:
    """Returns the replies of one router to requests one after another."""
    replies: list[str] = []

    async def main() -> None:
        router = s.open_router()
        for request in requests:
            async with aclosing(router.stream(ChatRequest(**HELLO | request))) as reply:
                replies.append("".join([chunk.text async for chunk in reply]))
        await router.aclose()

    s.clock.run(main())
    return replies


def seen(picture: str) -> dict[str, Any]:
    part = {"type": "image_url", "image_url": {"url": picture}}
    content = [{"type": "text", "text": "What is this?"}, part]
    return {"messages": [{"role": "user", "content": content}, *SEEN["messages"][1:]]}


@pytest.mark.parametrize(
    "refusal",
    [
        StatusError(400, code="invalid_image_url", detail="Failed to download image from a.test"),
        StatusError(400, detail="image exceeds 5 MB maximum: 6000000 bytes > 5242880 bytes"),
        StatusError(413),
    ],
)
def test_a_picture_that_is_refused_is_left_out_from_then_on_and_others_are_not(
    refusal: StatusError,
) -> None:
    s = Stage([fail(refusal), *[say(ANSWER)] * 4])
    s.connections[0] = replace(s.connections[0], supports_images=True)
    bad, good = seen("https://a.test/b.png"), seen("https://a.test/c.png")
    both = {"messages": [*bad["messages"], *good["messages"]]}
    assert conversation(s, bad, bad, good, both) == [ANSWER] * 4
    refused, first, second, other, mixed = (sent.messages for sent in asked(s))
    assert refused == bad["messages"]
    assert first == second == [{"role": "user", "content": NOTED}, *bad["messages"][1:]]
    assert other == good["messages"]
    assert mixed == [*first, *good["messages"]]


def test_one_that_takes_the_refused_picture_is_asked_before_the_one_that_does_not() -> None:
    refusal = StatusError(400, code="invalid_image_url", detail="Failed to download image")
    s = Stage([fail(refusal), say("Hm.")], [say(ANSWER), say(ANSWER)])
    s.connections = [replace(one, supports_images=True) for one in s.connections]
    s.be_of_different_kinds()
    assert conversation(s, SEEN, SEEN) == [ANSWER] * 2
    assert all(sent.messages == SEEN["messages"] for sent in asked(s, 1))


def test_a_history_that_is_too_long_beside_its_pictures_is_shortened_too() -> None:
    s = Stage([fail(StatusError(413)), fail(StatusError(413)), say(ANSWER)])
    s.connections[0] = replace(s.connections[0], supports_images=True)
    assert conversation(s, {"messages": [*SEEN["messages"], *LONG]}) == [ANSWER]
    _, without_picture, shorter = (sent.messages for sent in asked(s))
    assert len(without_picture) == len(LONG) + 3
    assert len(shorter) < len(LONG)


def test_a_history_whose_words_alone_are_too_long_keeps_its_picture() -> None:
    s = Stage([fail(TOO_LONG), say(ANSWER)])
    s.connections[0] = replace(s.connections[0], supports_images=True)
    [question] = SEEN["messages"][:1]
    assert conversation(s, {"messages": [*LONG[:-1], question]}) == [ANSWER]
    _, shorter = (sent.messages for sent in asked(s))
    assert len(shorter) < len(LONG)
    assert shorter[-1] == question


def test_tools_are_counted_by_their_letters_in_any_script() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "ж" * 4_000}}
    s = Stage([say(ANSWER)])
    s.connections[0] = replace(s.connections[0], context_length=4_096)
    assert conversation(s, {"messages": LONG, "tools": [tool]}) == [ANSWER]
    assert asked(s)[0].messages == LONG


def test_a_use_of_tools_that_is_refused_lets_others_be() -> None:
    refusal = StatusError(400, detail="This model does not support tools in strict JSON mode")
    s = Stage([fail(refusal), *[say(ANSWER)] * 3])
    in_json = {"tools": [TOOL], "response_format": {"type": "json_object"}}
    assert conversation(s, in_json, in_json, {"tools": [TOOL]}) == [ANSWER] * 3
    assert [bool(sent.tools) for sent in asked(s)] == [True, False, False, True]


TOOL_OF_5000_TOKENS = {"type": "function", "function": {"name": "f", "description": "x" * 19_900}}
LONG_BESIDE_TOOLS: list[Message] = [
    message for _ in range(38) for message in (*turn(0), *LONG[-1:])
]


@pytest.mark.parametrize("length", [28, 38])
def test_a_history_is_shortened_as_far_as_its_tools_need(length: int) -> None:
    refusal = StatusError(400, detail="This model's maximum context length is 8192 tokens.")
    s = Stage([fail(refusal), *[say(ANSWER)] * 3])
    long = {"messages": LONG_BESIDE_TOOLS[: 5 * length], "tools": [TOOL_OF_5000_TOKENS]}
    short = {"messages": LONG_BESIDE_TOOLS[:140]}
    assert conversation(s, long, long, short) == [ANSWER] * 3
    _, first, second, other = asked(s)
    assert first == second
    written = sum(len(str(m["content"] or "")) for m in first.messages) + len(str(first.tools))
    assert written / 4 + (first.max_tokens or 0) < 8192
    assert len(first.messages) > 1
    assert other.messages == short["messages"]


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
