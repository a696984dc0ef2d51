"""Tests the record of an assistant: what it takes, and how it says what is wrong."""

from typing import Any

import pytest

from llm_router.errors import ConfigurationError
from llm_router.voice.assistant import AssistantRecord, parse_assistant


def test_a_name_is_enough_and_everything_else_is_left_to_the_settings() -> None:
    record = parse_assistant({"name": "shop"})
    assert record == AssistantRecord(name="shop")
    assert set(record.model_dump(exclude_unset=True)) == {"name"}


def test_no_greeting_differs_from_a_greeting_that_is_not_set() -> None:
    assert parse_assistant({"name": "shop", "greeting": ""}).greeting == ""
    assert parse_assistant({"name": "shop"}).greeting is None


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"name": "The Shop"}, "name"),
        ({"name": ""}, "name"),
        ({}, "name"),
        ({"name": "shop", "greting": "Hi"}, "greting: there is no such field"),
        ({"name": "shop", "instructions": "\x00"}, "instructions"),
        ({"name": "shop", "instructions": "a" * 100_001}, "instructions"),
        ({"name": "shop", "languages": ["english"]}, "languages.0"),
        ({"name": "shop", "languages": ["en", "en"]}, "languages: must differ"),
        ({"name": "shop", "speed": float("nan")}, "speed"),
        ({"name": "shop", "speed": 3}, "speed"),
        ({"name": "shop", "tools": ["../x"]}, "tools.0"),
        ({"name": "shop", "keep": "everything"}, "keep"),
        ({"name": "shop", "http_tools": [{"name": "order"}]}, "http_tools.0"),
        (
            {
                "name": "shop",
                "mcp_servers": [{"name": "a", "url": "http://h/", "tools": ["b"]}] * 2,
            },
            "mcp_servers: must have names that differ",
        ),
        ({"name": "shop", "preemptive_generation": "yes"}, "preemptive_generation"),
        (
            {"name": "shop", "endpointing_min_delay": 2, "endpointing_max_delay": 1},
            "endpointing_min_delay must not be above",
        ),
        ({"name": "shop", "tools": [["x"] * 100] * 100}, "at most 5,000 values"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(values: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigurationError, match=place):
        parse_assistant(values)


def test_an_error_repeats_no_value() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_assistant({"name": "shop", "instructions": "secret\x00", "voice": ["hidden"]})
    assert "secret" not in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert "and 1 more" in str(caught.value)
