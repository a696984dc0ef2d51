"""Tests the secrets of assistants: split off, joined again, and masked in edits."""

from typing import Any

import pytest

from llm_router.errors import ConfigurationError
from llm_router.voice import rules
from llm_router.voice.assistant import AssistantRecord, parse_assistant
from llm_router.voice.assistant_file import read_assistants
from llm_router.voice.assistant_secrets import MASK, join_secrets, split_secrets

KEY, OTHER = "Bearer sk-0123456789", "Bearer sk-9876543210"


def tool(name: str, key: str, url: str = "https://shop.example/orders") -> dict[str, Any]:
    return {
        "name": name, "url": url, "description": "Finds an order.",
        "headers": {"Authorization": key},
    }  # fmt: skip


def shop(*tools: dict[str, Any]) -> AssistantRecord:
    server = {
        "name": "stock", "url": "https://stock.example/mcp", "tools": ["count"],
        "headers": {"X-Key": OTHER},
    }  # fmt: skip
    return parse_assistant({"name": "shop", "http_tools": tools, "mcp_servers": [server]})


def keys(record: AssistantRecord) -> list[str]:
    return [tool.headers["Authorization"] for tool in record.http_tools]


def test_a_record_is_split_into_masks_and_secrets_and_joined_again() -> None:
    record = shop(tool("find_order", KEY))
    masked, secrets = split_secrets(record)
    assert KEY not in masked.model_dump_json()
    assert OTHER not in masked.model_dump_json()
    assert keys(masked) == [MASK]
    assert join_secrets(masked, secrets) == record
    assert KEY not in repr(record)
    plain = AssistantRecord(name="plain")
    assert split_secrets(plain) == (plain, None)
    assert join_secrets(plain, None) == plain


def test_a_mask_in_an_edit_leaves_the_secret_as_it_is_also_in_another_order() -> None:
    stored = shop(tool("find_order", KEY), tool("cancel_order", OTHER))
    edited = rules.changed(
        stored, {"http_tools": [tool("cancel_order", MASK), tool("find_order", MASK)]}
    )
    assert keys(edited) == [OTHER, KEY]
    assert keys(rules.changed(stored, {"http_tools": [tool("find_order", "new")]})) == ["new"]


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/orders", "http://shop.example/orders", "https://shop.example:8/orders"],
)
def test_a_secret_follows_its_tool_to_no_other_server(url: str) -> None:
    stored = shop(tool("find_order", KEY))
    with pytest.raises(ConfigurationError, match="give the secret again") as caught:
        rules.changed(stored, {"http_tools": [tool("find_order", MASK, url)]})
    assert "http_tools.find_order.headers.Authorization" in str(caught.value)
    other_path = "https://shop.example/v2/orders"
    same = rules.changed(stored, {"http_tools": [tool("find_order", MASK, other_path)]})
    assert keys(same) == [KEY]


def test_a_mask_for_which_nothing_is_stored_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="give the secret itself"):
        rules.without_masks(shop(tool("find_order", MASK)))
    with pytest.raises(ConfigurationError, match="give the secret itself"):
        rules.changed(shop(), {"http_tools": [tool("find_order", MASK)]})


def test_a_difference_shows_that_a_secret_changed_and_neither_of_its_values() -> None:
    found = rules.differences(shop(tool("a", KEY)), shop(tool("a", OTHER)))
    assert [*found] == ["http_tools"]
    assert KEY not in str(found)
    assert OTHER not in str(found)


def test_in_a_file_a_secret_is_a_variable() -> None:
    text = """
[[shop.http_tools]]
name = "find_order"
url = "https://shop.example/orders"
description = "Finds an order."
headers = { Authorization = "env:SHOP_KEY" }
"""
    found = read_assistants(text, "file", {"SHOP_KEY": KEY})
    assert keys(found["shop"]) == [KEY]
    with pytest.raises(ConfigurationError, match="the variable SHOP_KEY is not set"):
        read_assistants(text, "file", {})
