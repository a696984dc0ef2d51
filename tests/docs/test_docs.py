"""Checks that the documents agree with the code."""

import re
from pathlib import Path

import pytest

from llm_router.failures import CONSEQUENCES

ROOT = Path(__file__).parents[2]
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
FOLDERS = "agent|llm_router|config|deploy|tests|bench|web"
MADE_BY_PEOPLE = {"config/assistants.toml", "config/connections.json"}
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def test_the_failure_table_is_that_of_the_code() -> None:
    part = ARCHITECTURE.partition("| class |")[2].partition("\n\n")[0]
    row = r"^\| ([a-z ]+) \| [^|]+ \| ([a-z ]+) \| ([a-z ,]+) \| ([^|]+) \|$"
    table = {name: columns for name, *columns in re.findall(row, part, re.MULTILINE)}
    for kind, consequence in CONSEQUENCES.items():
        asked, again, breaker = table[str(kind)]
        assert asked == consequence.next
        assert again == consequence.again
        assert breaker.startswith(consequence.breaker)
        assert ("operator notified" in breaker) == consequence.tell_operator
    assert len(table) == len(CONSEQUENCES)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_is_there(document: Path) -> None:
    text = document.read_text()
    named = set(re.findall(rf"`((?:{FOLDERS})/[\w./-]+)`", text)) - MADE_BY_PEOPLE
    linked = {link for link in re.findall(r"\]\(([^)#:]+)\)", text) if "//" not in link}
    for name in named:
        assert (ROOT / name).exists(), name
    for link in linked:
        assert (document.parent / link).exists(), link


def test_the_readme_can_be_read_in_one_go() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 120
