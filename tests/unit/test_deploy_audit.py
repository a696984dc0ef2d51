"""Advisories from a stored copy, and what is made of pip-audit's report."""

import json
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import pytest

from deploy import advisories, audit, paths
from deploy.console import StepError

RECORD: dict[str, Any] = {
    "schema_version": "1.7.3",
    "id": "PYSEC-2026-1",
    "aliases": ["CVE-2026-1"],
    "summary": "It answers too much",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "Python_Dotenv"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}],
            "versions": ["1.0", "1.1"],
        },
        {"package": {"ecosystem": "npm", "name": "python-dotenv"}, "versions": ["3.0"]},
    ],
}


@pytest.fixture(params=["folder", "zip"])
def copy(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    text = json.dumps(RECORD)
    if request.param == "folder":
        (tmp_path / "PYSEC-2026-1.json").write_text(text)
        return tmp_path
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("PYSEC-2026-1.json", text)
        archive.writestr("README", "no record")
    return tmp_path / "all.zip"


@pytest.mark.parametrize(
    ("name", "version", "count"),
    [
        ("python-dotenv", "1.1", 1),
        ("PYTHON.dotenv", "1.0", 1),
        ("python-dotenv", "2.0", 0),
        ("python-dotenv", "3.0", 1),
        ("dotenv", "1.0", 0),
    ],
)
def test_a_version_is_found_under_each_spelling_of_its_name(
    copy: Path, name: str, version: str, count: int
) -> None:
    assert len(advisories.matching(advisories.read(copy), name, version)) == count


def test_a_copy_is_served_as_osv_serves_its_own(copy: Path) -> None:
    with advisories.served(advisories.read(copy)) as url:

        def ask(version: str) -> Any:
            query = {
                "package": {"name": "python-dotenv", "ecosystem": "PyPI"},
                "version": version,
            }
            with urllib.request.urlopen(url, json.dumps(query).encode(), timeout=10) as answer:
                return json.load(answer)

        assert ask("1.0") == {"vulns": [RECORD]}
        assert ask("2.0") == {}


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"affected": [5]}'])
def test_a_copy_without_advisories_is_an_error_and_no_clean_result(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "one.json").write_text(content)
    with pytest.raises(StepError) as caught:
        advisories.read(tmp_path)
    assert "ADVISORIES" in caught.value.remedy


def test_a_report_becomes_a_line_for_each_fault() -> None:
    fault = {"id": "PYSEC-2026-1", "fix_versions": ["2.0"], "description": "It\nanswers  too much"}
    report = {
        "dependencies": [
            {"name": "python-dotenv", "version": "1.1", "vulns": [fault]},
            {"name": "numpy", "version": "2.4", "vulns": []},
            {"name": "odd", "skip_reason": "no version"},
        ]
    }
    assert audit.findings(report) == [
        audit.Finding("python-dotenv", "1.1", "PYSEC-2026-1", ("2.0",), "It answers too much")
    ]


def test_the_locks_of_what_is_shipped_are_the_ones_that_are_compared() -> None:
    for name in audit.SHIPPED:
        assert (paths.ROOT / name).exists()
