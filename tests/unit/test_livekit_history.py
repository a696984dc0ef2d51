"""Tests which parts of LiveKit's history a model is shown."""

from typing import Any

import pytest
from livekit.agents import llm

from llm_router.integrations.livekit.history import (
    PHRASE,
    ROUTE,
    UNFINISHED,
    messages_of,
    unfinished,
)

SORRY = "I'm sorry, I can't get to the answer right now. Could you say that again?"
CLOSING = "… Sorry, I lost my thread there."


def shown(text: str, route: dict[str, Any]) -> list[str]:
    """Returns the assistant's messages that a model is shown of a history with one such message."""
    context = llm.ChatContext.empty()
    context.add_message(role="user", content="Are you open?")
    context.add_message(role="assistant", content=text, extra={ROUTE: route})
    context.add_message(role="user", content="Hello?")
    messages, used = messages_of(context)
    contents = [m["content"] for m in messages if m["role"] == "assistant"]
    spoken = [item for item in used.items if isinstance(item, llm.ChatMessage)]
    used_words = [item.text_content for item in spoken if item.role == "assistant"]
    assert contents == used_words
    return contents


@pytest.mark.parametrize(
    ("text", "phrase", "left"),
    [
        (SORRY, SORRY, []),
        ("I'm sorry, I can't get to", SORRY, []),
        ("We are open from nine" + CLOSING, CLOSING, ["We are open from nine"]),
        ("We are open from nine… Sorry, I lost", CLOSING, ["We are open from nine"]),
        ("We are open from nine. " + CLOSING[2:], " " + CLOSING[2:], ["We are open from nine."]),
        ("We are open from", CLOSING, ["We are open from"]),
        ("We are open, Sorr", CLOSING, ["We are open, Sorr"]),
    ],
)
def test_a_phrase_of_the_router_is_not_shown_to_the_model(
    text: str, phrase: str, left: list[str]
) -> None:
    assert shown(text, {"connection": "a", PHRASE: phrase}) == left


def test_words_of_a_model_are_shown_whole() -> None:
    assert shown(SORRY, {"connection": "a"}) == [SORRY]
    assert shown(SORRY, {PHRASE: 7}) == [SORRY]


def test_a_last_message_marked_as_unfinished_is_continued_and_not_shown() -> None:
    context = llm.ChatContext.empty()
    context.add_message(role="user", content="Are you open?")
    whole = context.copy()
    context.add_message(role="assistant", content="We are", extra={ROUTE: {UNFINISHED: True}})
    rest, voiced = unfinished(context)
    assert voiced == "We are"
    assert rest.items == whole.items
    context.items.append(llm.AgentConfigUpdate(instructions="Be brief."))
    assert unfinished(context)[1] == "We are"
    context.add_message(role="user", content="Hello?")
    assert unfinished(context) == (context, "")
    assert unfinished(whole) == (whole, "")
