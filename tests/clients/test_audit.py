"""`make audit` and `make sbom` with the tools themselves."""

import json
import re
from pathlib import Path

import pytest

from deploy import audit, paths
from deploy.console import StepError

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]  # the tools are installed once
LOCK = paths.ROOT / "requirements.lock"


def advisory(folder: Path, version: str) -> Path:
    package = {"ecosystem": "PyPI", "name": "pydantic"}
    affected = [{"package": package, "versions": [version]}]
    record = {"id": "PYSEC-2026-1", "summary": "It is made up", "affected": affected}
    (folder / "one.json").write_text(json.dumps(record))
    return folder


def test_an_advisory_about_a_locked_version_is_found_and_no_other(tmp_path: Path) -> None:
    [version] = re.findall(r"(?m)^pydantic==(\S+)", LOCK.read_text())
    found = audit.find_advisories(LOCK, advisory(tmp_path, version))
    assert [(one.package, one.version, one.id) for one in found] == [
        ("pydantic", version, "PYSEC-2026-1")
    ]
    assert audit.find_advisories(LOCK, advisory(tmp_path, "0.1")) == []


def test_without_an_answer_there_is_an_error_and_no_clean_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit, "_ONLINE", "http://127.0.0.1:1/v1/query")
    with pytest.raises(StepError) as caught:
        audit.find_advisories(LOCK, None)
    assert "ADVISORIES" in caught.value.remedy


def test_the_bills_of_materials_name_every_locked_package(tmp_path: Path) -> None:
    python, _, widget, _console = audit.write_sboms(tmp_path)
    bill = json.loads(python.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    names = {f"{one['name']}=={one['version']}" for one in bill["components"]}
    pins = set(re.findall(r"(?m)^([\w.-]+==[^\s;]+)", LOCK.read_text()))
    assert pins <= names
    assert json.loads(widget.read_text())["components"]
