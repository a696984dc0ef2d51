"""The site of the documentation: its pages, their links, and the reference made of the code."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import pytest

from config.env_example import render
from config.settings import Settings
from deploy import docs_site, paths
from llm_router.cli.reference import render as render_commands

PAGES = docs_site.layout()
MADE = {f"reference/{name}.md" for name in ("settings", "commands", "routes")}


def places(nav: Any) -> Iterator[str]:
    for entry in nav:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else places(value)


def test_the_navigation_has_pages_that_are_there_each_once() -> None:
    nav = [*places(tomllib.loads(docs_site.CONFIG.read_text())["project"]["nav"])]
    assert len({*nav}) == len(nav)
    assert {*nav} <= {*PAGES} | MADE
    assert {*nav} >= MADE


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_link_of_a_page_leads_to_a_page_or_a_file_of_the_site(page: str) -> None:
    folder = PurePosixPath(page).parent
    for target in re.findall(r"\]\(([^()\s]+)\)", re.sub(r"(?ms)^```.*?^```", "", PAGES[page])):
        address = target.partition("#")[0]
        if not address or re.match(r"[a-z]+:", address):
            continue
        parts: list[str] = []
        for part in (folder / address).parts:
            parts = parts[:-1] if part == ".." else [*parts, part]
        place = "/".join(parts)
        assert place in PAGES or (paths.ROOT / "docs" / place).is_file(), target


def test_a_link_to_a_file_that_the_site_has_not_becomes_its_name() -> None:
    file = paths.ROOT / "docs" / "cli.md"
    text = "See [`the` file](../pyproject.toml), [tools](tools.md#add).\n```\n[no](link.md)\n```\n"
    assert docs_site.relinked(text, file) == (
        "See `the` file, [tools](tools.md#add).\n```\n[no](link.md)\n```\n"
    )


def test_every_setting_is_in_the_reference_with_its_words() -> None:
    page = docs_site.settings_page(render())
    for name, field in Settings.model_fields.items():
        assert f"### {name.upper()}\n" in page
        assert " ".join((field.description or "").split())[:60] in page


def test_every_command_is_in_the_reference() -> None:
    page = render_commands()
    for words in (
        "### fleet up",
        "### phone apply",
        "### keys retire",
        "## doctor",
        "`--max-hourly",
    ):
        assert words in page


def test_every_route_is_in_the_reference_once() -> None:
    operation = {"operationId": "list", "description": "Lists | all.\n\nMore.", "responses": {}}
    document = {"paths": {"/api/a": {"get": {**operation, "tags": ["a"]}, "parameters": []}}}
    assert docs_site.routes_page(document).splitlines()[-1] == (
        "| `GET /api/a` | `list` | Lists \\| all. |"
    )
