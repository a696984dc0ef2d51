"""Tests the file of assistants: what it says, and how it says what is wrong."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.errors import ConfigurationError
from llm_router.voice.assistant import parse_assistant
from llm_router.voice.assistant_file import read_assistants, write_assistants

ROOT = Path(__file__).parents[2]
FILE = '''
[default]
greeting = ""

[shop]
instructions = """
You are the shop.
It opens at nine.
"""
languages = ["en", "de"]
speed = 1.1
'''


def test_each_table_is_an_assistant() -> None:
    found = read_assistants(FILE, "assistants.toml", {})
    assert [*found] == ["default", "shop"]
    assert found["default"].greeting == ""
    shop = found["shop"]
    assert shop.instructions == "You are the shop.\nIt opens at nine.\n"
    assert (shop.languages, shop.speed, shop.voice) == (("en", "de"), 1.1, None)


def test_the_example_and_the_page_are_such_files() -> None:
    example = (ROOT / "config" / "assistants.example.toml").read_text(encoding="utf-8")
    assert [*read_assistants(example, "example", {})] == ["default", "tea-shop"]
    page = (ROOT / "docs" / "assistants.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    shop = read_assistants("\n".join(blocks), "page", {"SHOP_KEY": "k"})["tea-shop"]
    assert (len(shop.http_tools), len(shop.mcp_servers)) == (1, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[shop", "assistants.toml: is not valid TOML"),
        ('greeting = "Hi"', "'greeting' is outside of a table"),
        ("[shop]\nspeed = 9", "assistants.toml: assistant 'shop': speed"),
        ("[Shop]", "assistants.toml: assistant 'Shop': name"),
        ('[shop]\nvocie = "a"', "vocie: there is no such field"),
    ],
)
def test_a_fault_is_named_with_file_and_place(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_assistants(text, "assistants.toml", {})
    assert said in str(caught.value)


READABLE = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), max_size=50)


@given(READABLE, st.floats(0.5, 2), st.booleans() | st.none())
def test_what_is_written_is_read_as_it_was(text: str, speed: float, flag: bool | None) -> None:
    record = parse_assistant(
        {
            "name": "shop", "instructions": text, "greeting": text, "speed": speed,
            "preemptive_generation": flag, "languages": ["en", "de"], "tools": [],
        }
    )  # fmt: skip
    other = parse_assistant({"name": "other"})
    found = read_assistants(write_assistants([record, other]), "file", {})
    assert found == {"shop": record, "other": other}
