"""Checks that docs/security.md has a row for each precedent, and a test for each row."""

import re
from collections.abc import Sequence
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
PRECEDENTS = {
    "Bifrost": ["CVE-2026-55245", "CVE-2026-86242", "CVE-2026-90898"],
    "CosyVoice": ["CVE-2026-31251"],
    "LMDeploy": ["CVE-2026-33626"],
    "Langflow": ["CVE-2025-3248", "CVE-2026-21445"],
    "LeRobot": ["CVE-2026-25874"],
    "LiteLLM": [
        "CVE-2024-6587", "CVE-2026-114612", "CVE-2026-136536", "CVE-2026-35029",
        "CVE-2026-42203", "CVE-2026-42208", "CVE-2026-42271", "CVE-2026-49468", "MAL-2026-2144",
    ],
    "Open WebUI": ["CVE-2026-45339"],
    "Pipecat": ["CVE-2025-62373", "CVE-2026-102682"],
    "Portkey": ["CVE-2025-66405", "CVE-2026-110719"],
    "Starlette": ["CVE-2026-48710", "PYSEC-2026-248"],
    "vLLM": ["CVE-2025-62164", "CVE-2026-22773"],
}  # fmt: skip
"""Vulnerabilities of other gateways, by product: a new one is added here first."""
_IDENTIFIER = re.compile(r"(?:CVE|MAL|PYSEC)-\d{4}-\d+")


def rows(heading: str) -> list[Sequence[str]]:
    """Returns the cells of the first table after a heading, without its head."""
    lines = PAGE.partition(heading)[2].partition("| --- |")[2].splitlines()[1:]
    table = lines[: lines.index("")]
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in table]


def test_every_precedent_has_a_row_that_names_its_product() -> None:
    found = {
        (product, identifier)
        for elsewhere, *_ in rows("## What has broken other gateways")
        for identifier in _IDENTIFIER.findall(elsewhere)
        for product in PRECEDENTS
        if product in elsewhere and identifier in PRECEDENTS[product]
    }
    assert found == {(product, one) for product, ids in PRECEDENTS.items() for one in ids}
    assert {*_IDENTIFIER.findall(PAGE)} == {one for ids in PRECEDENTS.values() for one in ids}


def test_every_row_names_a_test_or_a_bench() -> None:
    for heading in ("# Security", "## What has broken other gateways"):
        table = rows(heading)
        assert len(table) > 10
        for _, _, tested in table:
            assert re.search(r"`tests/[\w/]+\.py`|`python -m bench\.", tested), tested
