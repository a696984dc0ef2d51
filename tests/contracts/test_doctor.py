"""`llm-router doctor`: what is wrong is found, and what to do about it is said."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from agent.checks import check
from llm_router.cli.check import CHECKS
from llm_router.testing.server import Fault, FaultyServer, Script
from tests.contracts.cli_shell import KEY, Shell
from tests.contracts.threads import in_a_thread


def found(shell: Shell, what: str, **environ: str) -> dict[str, Any]:
    """What it says of one thing. It ends with 1 if anything is a fault, be it another."""
    said = shell("doctor", "--json", code=None, **environ)
    findings = json.loads(said.stdout)
    assert said.exit_code == any(f["state"] == "fault" for f in findings)
    (one,) = [finding for finding in findings if finding["what"].startswith(what)]
    return dict(one)


def test_before_the_first_start_nothing_is_made_and_nothing_is_a_fault(
    here: Shell, tmp_path: Path
) -> None:
    seen = found(here, "database")
    assert seen["state"] == "note"
    assert "made at the first start" in seen["said"]
    assert not [*tmp_path.glob("*.sqlite3")]


def test_a_house_in_order_says_so(here: Shell) -> None:
    here.add("a", "--key", "env:MINE", MINE=KEY)
    said = here("doctor", code=None).stdout.splitlines()
    assert any(line.startswith("ok    connection a: first word after 0.") for line in said)
    assert any(line.startswith("ok    database: sqlite") for line in said)
    assert "ok    master key: opens all that is sealed" in said


def test_each_connection_that_does_not_work_is_named_with_what_to_do(here: Shell) -> None:
    with in_a_thread(FaultyServer(Script(fault=Fault.STATUS, status=401))) as server:
        here("connections", "add", "a", "--base-url", server.base_url, "--model", "m")
        here.add("rules")
        here.add("off", "--set", "is_active=false")
        findings = {f["what"]: f for f in here.json("doctor", code=None)}
    assert findings["connection a"]["state"] == "fault"
    assert "check api_key" in findings["connection a"]["said"]
    assert findings["connection rules"]["state"] == "ok"
    assert "connection off" not in findings


def test_a_master_key_that_is_not_the_one_is_a_fault(here: Shell) -> None:
    here.add("a", "--key", "env:MINE", MINE=KEY)
    other, first = Fernet.generate_key().decode(), here.environ["ENCRYPTION_KEYS"]
    seen = found(here, "master key", ENCRYPTION_KEYS=other)
    assert seen["state"] == "fault"
    assert "put that key back" in seen["said"]
    missing = found(here, "master key", ENCRYPTION_KEYS="")
    assert "put the file back from a copy" in missing["said"]
    before = found(here, "master key", ENCRYPTION_KEYS=f"{other},{first}")
    assert before["state"] == "note"
    assert "keys rotate" in before["said"]


def test_tables_that_are_behind_are_a_fault(here: Shell, tmp_path: Path) -> None:
    (tmp_path / "here.sqlite3").touch()
    seen = found(here, "database")
    assert seen["state"] == "fault"
    assert "run `llm-router migrate`" in seen["said"]


def test_settings_that_make_no_sense_are_a_fault(here: Shell) -> None:
    seen = found(here, "database", DATABASE_URL="mysql://host/name")
    assert seen["state"] == "fault"
    assert "DATABASE_URL" in seen["said"]


def test_over_http_the_process_there_is_looked_at(shell: Shell) -> None:
    if "PATCHBAY_API_URL" not in shell.environ:
        shell.add("a")
        assert found(shell, "connection a")["state"] == "ok"
        return
    shell.add("a")
    findings = shell.json("doctor")
    assert [(f["what"], f["state"]) for f in findings] == [
        ("HTTP process", "ok"), ("connection a", "ok"),
    ]  # fmt: skip
    nobody = shell.json("doctor", code=1, PATCHBAY_API_URL="http://127.0.0.1:1")
    assert nobody[0]["state"] == "fault"
    assert "start the HTTP process" in nobody[0]["said"]


# ── What others add ──────────────────────────────────────────────────────────────────────────────

PLUGIN = """
from llm_router.cli.check import Finding

async def check():
    yield Finding("the lift", "fault", "it is stuck; call the caretaker")
    raise ValueError("lost")
"""


def test_what_a_package_checks_is_part_of_it_and_may_fail(
    here: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lifts.py").write_text(PLUGIN)
    metadata = tmp_path / "lifts-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: lifts\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[patchbay.checks]\nlifts = lifts:check\n")
    monkeypatch.syspath_prepend(tmp_path)
    findings = here.json("doctor", code=1)
    assert {"what": "the lift", "state": "fault", "said": "it is stuck; call the caretaker"} in (
        findings
    )
    assert "ValueError: lost" in found(here, "lifts")["said"]


def test_the_agent_names_its_checks() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    entry = project["entry-points"][CHECKS]["agent"]
    assert entry == f"{check.__module__}:{check.__name__}"


async def test_the_agents_voice_speaks_to_its_ears(
    unused_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "LIVEKIT_URL": unused_url.removesuffix("/v1"),
        "LIVEKIT_API_KEY": "key",
        "LIVEKIT_API_SECRET": "s" * 32,
    }.items():
        monkeypatch.setenv(name, value)
    findings = {f.what: f async for f in check()}
    assert findings["LiveKit"].state == "fault"
    assert "start livekit-server there" in findings["LiveKit"].said
    assert findings["voice embedded"].state == "ok"
    assert "s of speech" in findings["voice embedded"].said
    assert findings["ears embedded"].state == "ok"


async def test_engines_that_cannot_work_are_named_with_their_settings(
    unused_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "LIVEKIT_API_KEY": "key",
        "LIVEKIT_API_SECRET": "s" * 32,
        "TTS_ENGINE": "openai",
        "TTS_BASE_URL": unused_url,
        "STT_ENGINE": "nobody",
    }.items():
        monkeypatch.setenv(name, value)
    findings = {f.what: f async for f in check()}
    assert findings["voice openai"].state == "fault"
    assert "TTS_..." in findings["voice openai"].said
    assert "known: embedded" in findings["ears nobody"].said


async def test_an_agent_without_its_settings_says_which_are_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LIVEKIT_API_KEY", raising=False)
    (finding,) = [finding async for finding in check()]
    assert finding.state == "fault"
    assert "LIVEKIT_API_KEY is not set" in finding.said
