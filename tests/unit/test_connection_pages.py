"""Tests that every server of the catalog has a page, and that its connections are valid."""

import re
from pathlib import Path

import pytest

from llm_router.catalog.servers import SERVERS, find_server
from llm_router.discovery.files import parse_connections
from llm_router.providers.base import PROVIDERS

PAGES = Path(__file__).parents[2] / "docs" / "connections"
INDEX = (PAGES / "README.md").read_text()
SHARED = {"deepseek_beta": "deepseek", "unknown": "other"}
WRITTEN = sorted(page.stem for page in PAGES.glob("*.md") if page.name != "README.md")
WITHOUT_A_ROW = {"bedrock", "transformers"}
"""Connections of another provider."""
_JSON = re.compile(r"```json\n(.*?)```", re.DOTALL)


def page_of(row: str) -> str:
    return SHARED.get(row, row).replace("_", "-")


@pytest.mark.parametrize("row", sorted(SERVERS))
def test_the_index_links_to_every_server(row: str) -> None:
    assert f"({page_of(row)}.md)" in INDEX


@pytest.mark.parametrize("row", sorted(SERVERS))
def test_every_server_has_a_page(row: str) -> None:
    assert page_of(row) in WRITTEN


def test_every_page_is_in_the_index() -> None:
    assert [page for page in WRITTEN if f"({page}.md)" not in INDEX] == []


@pytest.mark.parametrize("page", WRITTEN)
def test_the_connections_of_a_page_are_valid(page: str) -> None:
    blocks = _JSON.findall((PAGES / f"{page}.md").read_text())
    assert blocks
    for block in blocks:
        keys = dict.fromkeys(re.findall(r"env:(\w+)", block), "sk-key")
        for connection in parse_connections(block, f"{page}.md", keys):
            assert connection.provider in PROVIDERS.names()
            assert len(connection.api_key or "") in {0, len("sk-key")}
            if connection.provider == "openai_compatible":
                found = page_of(find_server(connection).name)
                assert found == page or page in WITHOUT_A_ROW


@pytest.mark.parametrize("page", WRITTEN)
def test_a_page_is_short_and_names_its_traps(page: str) -> None:
    text = (PAGES / f"{page}.md").read_text()
    assert len(text.splitlines()) < 45
    assert "raps" in text
    assert max(len(line) for line in text.splitlines()) <= 120
