"""Tests ways through the tree of a chat's messages, titles and the request made of a path."""

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from llm_router.errors import NotFoundError
from llm_router.store.chat_tree import (
    Chat,
    ChatMessage,
    ChatTree,
    excerpt,
    newest_end,
    path_to,
    request_messages,
    status_at,
    title_of,
)

NOW = datetime(2026, 5, 4, tzinfo=UTC)


def message(number: int, parent: int, content: str = "…") -> ChatMessage:
    role: Literal["user", "assistant"] = "user" if number % 2 else "assistant"
    return ChatMessage(number=number, parent=parent, role=role, content=content, created_at=NOW)


BRANCHES = [message(1, 0), message(2, 1), message(3, 2), message(4, 3), message(5, 2)]
"""A question and its reply, then two branches, of which the second has no reply."""


@pytest.mark.parametrize(("end", "numbers"), [(4, [1, 2, 3, 4]), (5, [1, 2, 5]), (0, [])])
def test_a_path_leads_from_a_first_message_to_its_end(end: int, numbers: list[int]) -> None:
    assert [each.number for each in path_to(BRANCHES, end)] == numbers


@pytest.mark.parametrize(("through", "end"), [(1, 5), (3, 4), (5, 5)])
def test_a_choice_shows_the_newest_path_through_a_message(through: int, end: int) -> None:
    assert newest_end(BRANCHES, through) == end


def test_siblings_follow_the_same_message() -> None:
    chat = Chat(id="c", owner="ann", model="auto", current=4, created_at=NOW, updated_at=NOW)
    tree = ChatTree(chat, BRANCHES)
    assert [each.number for each in tree.beside(5)] == [3, 5]
    assert tree.siblings() == {0: [1], 1: [2], 2: [3, 5], 3: [4]}
    with pytest.raises(NotFoundError, match="no message 9"):
        tree.beside(9)


def test_a_request_has_no_empty_reply_and_no_two_messages_of_a_user_in_a_row() -> None:
    path = [message(1, 0, "One?"), message(2, 1, ""), message(3, 2, "Two?"), message(4, 3, "Both.")]
    assert request_messages("Be brief.", [*path, message(5, 4, "Three?")]) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?\n\nTwo?"},
        {"role": "assistant", "content": "Both."},
        {"role": "user", "content": "Three?"},
    ]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("\n  How long do eggs boil?\nAnd onions?", "How long do eggs boil?"),
        ("word " * 30, "word " * 11 + "word…"),
        ("x" * 70, "x" * 60 + "…"),
        ("a\x1bb", "a b"),
        (" \n ", ""),
    ],
)
def test_a_title_is_the_first_line_shortened_at_a_word(text: str, title: str) -> None:
    assert title_of(text) == title


def test_a_running_reply_without_a_sign_of_life_is_broken_off() -> None:
    late = NOW - timedelta(seconds=1)
    assert status_at("running", "", NOW, NOW) == ("running", "")
    assert status_at("running", "", late, NOW)[0] == "broken_off"
    assert status_at("whole", "", late, NOW) == ("whole", "")


def test_an_excerpt_shows_the_words_around_a_text() -> None:
    content = "one " * 100 + "Straße two " + "three " * 100
    shown = excerpt(content, "STRASSE")
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert "one Straße two three" in shown
    assert excerpt("Hello there", "hello") == "Hello there"
