"""`llm-router doctor` finds each fault and says what to do about it."""

import json
import tomllib
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from agent.checks import check
from deploy.announcement import announced
from llm_router.cli import diagnostics
from llm_router.cli.check import CHECKS
from llm_router.cli.diagnostics import check_here
from llm_router.testing.server import Fault, FaultyServer, Script
from tests.contracts.cli_shell import KEY, Shell
from tests.contracts.threads import api_on_a_socket, in_a_thread


@pytest.fixture
def store_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the checks of other packages: the agent's load speech models, for seconds."""
    monkeypatch.setattr(diagnostics, "entry_points", lambda **_: ())


def finding_on(shell: Shell, subject: str, **environ: str) -> dict[str, Any]:
    """Runs the doctor and returns its finding on `subject`; the exit code is 1 for any fault."""
    result = shell("doctor", "--json", code=None, **environ)
    findings = json.loads(result.stdout)
    assert result.exit_code == any(f["state"] == "fault" for f in findings)
    (one,) = [finding for finding in findings if finding["subject"].startswith(subject)]
    return dict(one)


@pytest.mark.usefixtures("store_alone")
def test_before_the_first_start_there_is_no_fault_and_no_file_is_created(
    here: Shell, tmp_path: Path
) -> None:
    finding = finding_on(here, "database")
    assert finding["state"] == "note"
    assert "the first start creates it" in finding["message"]
    assert not [*tmp_path.glob("*.sqlite3")]


def test_a_sound_installation_has_no_fault(here: Shell) -> None:
    here.add("a", "--key", "env:MINE", MINE=KEY)
    lines = here("doctor", code=None).stdout.splitlines()
    assert any(line.startswith("ok    connection a: first word after 0.") for line in lines)
    assert any(line.startswith("ok    database: sqlite") for line in lines)
    assert "ok    master key: opens every sealed secret" in lines


@pytest.mark.usefixtures("store_alone")
def test_each_connection_that_does_not_work_is_named_with_advice(here: Shell) -> None:
    with in_a_thread(FaultyServer(Script(fault=Fault.STATUS, status=401))) as server:
        address = ("--base-url", server.base_url, "--model", "m")
        here("connections", "add", "a", *address, "--no-test")
        here.add("rules")
        here.add("off", "--set", "is_active=false")
        findings = {f["subject"]: f for f in here.json("doctor", code=None)}
    assert findings["connection a"]["state"] == "fault"
    assert "check api_key" in findings["connection a"]["message"]
    assert "llm-router connections edit a --key ask" in findings["connection a"]["message"]
    assert findings["connection rules"]["state"] == "ok"
    assert "connection off" not in findings


@pytest.mark.usefixtures("store_alone")
def test_in_a_container_a_stored_address_of_the_machine_is_explained(
    here: Shell, unused_url: str
) -> None:
    here("connections", "add", "a", "--base-url", unused_url, "--model", "m", code=None)
    assert "host.docker.internal" not in finding_on(here, "connection a")["message"]
    inside = finding_on(here, "connection a", LOOPBACK_HOST="host.docker.internal")
    assert inside["state"] == "fault"
    assert "for one of the machine write host.docker.internal" in inside["message"]


@pytest.mark.usefixtures("store_alone")
def test_a_wrong_master_key_is_a_fault(here: Shell) -> None:
    here.add("a", "--key", "env:MINE", MINE=KEY)
    other, first = Fernet.generate_key().decode(), here.environ["ENCRYPTION_KEYS"]
    finding = finding_on(here, "master key", ENCRYPTION_KEYS=other)
    assert finding["state"] == "fault"
    assert "put that key back" in finding["message"]
    missing = finding_on(here, "master key", ENCRYPTION_KEYS="")
    assert "put the file back from a copy" in missing["message"]
    before = finding_on(here, "master key", ENCRYPTION_KEYS=f"{other},{first}")
    assert before["state"] == "note"
    assert "keys rotate" in before["message"]


@pytest.mark.usefixtures("store_alone")
def test_outdated_tables_are_a_fault(here: Shell, tmp_path: Path) -> None:
    (tmp_path / "here.sqlite3").touch()
    finding = finding_on(here, "database")
    assert finding["state"] == "fault"
    assert "run `llm-router migrate`" in finding["message"]


def test_invalid_settings_are_a_fault(here: Shell) -> None:
    finding = finding_on(here, "database", DATABASE_URL="mysql://host/name")
    assert finding["state"] == "fault"
    assert "DATABASE_URL" in finding["message"]


@pytest.mark.usefixtures("store_alone")
def test_over_http_the_process_there_is_checked(shell: Shell) -> None:
    if "PATCHBAY_API_URL" not in shell.environ:
        shell.add("a")
        assert finding_on(shell, "connection a")["state"] == "ok"
        return
    shell.add("a")
    findings = shell.json("doctor")
    assert [(f["subject"], f["state"]) for f in findings] == [
        ("HTTP process", "ok"), ("connection a", "ok"),
    ]  # fmt: skip
    unreachable = shell.json("doctor", code=1, PATCHBAY_API_URL="http://127.0.0.1:1")
    assert unreachable[0]["state"] == "fault"
    assert "start the HTTP process" in unreachable[0]["message"]


async def test_beside_a_running_demo_the_demo_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", "")
    database = f"sqlite:///{tmp_path}/demo.sqlite3"
    with (
        in_a_thread(api_on_a_socket(database)) as api,
        announced(api.url, {"DATABASE_URL": database}, tmp_path / ".local" / "state" / "patchbay"),
    ):
        async with aclosing(check_here()) as findings:
            first = [await anext(findings) for _ in range(3)]
    assert [(f.subject, f.state) for f in first] == [
        ("settings", "ok"), ("HTTP process", "ok"), ("database", "ok"),
    ]  # fmt: skip
    assert f"those of the demo at {api.url}" in first[0].message
    assert "demo.sqlite3" in first[2].message


# ── Checks of packages ───────────────────────────────────────────────────────────────────────────

PLUGIN = """
from llm_router.cli.check import Finding

async def check():
    yield Finding("the lift", "fault", "it is stuck; call the caretaker")
    raise ValueError("lost")
"""


def test_a_package_adds_a_check_whose_error_is_a_fault_of_its_own(
    here: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lifts.py").write_text(PLUGIN)
    metadata = tmp_path / "lifts-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: lifts\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[patchbay.checks]\nlifts = lifts:check\n")
    monkeypatch.syspath_prepend(tmp_path)
    findings = here.json("doctor", code=1)
    stuck = {"subject": "the lift", "state": "fault", "message": "it is stuck; call the caretaker"}
    assert stuck in findings
    assert "ValueError: lost" in finding_on(here, "lifts")["message"]


def test_the_agent_registers_its_checks() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    entry = project["entry-points"][CHECKS]["agent"]
    assert entry == f"{check.__module__}:{check.__name__}"


async def test_the_agents_tts_engine_speaks_to_its_stt_engine(
    unused_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODELS_FOLDER", str(tmp_path))  # which is empty
    # With the keys of `livekit-server --dev`, whose short secret is no fault on this machine.
    monkeypatch.setenv("LIVEKIT_URL", unused_url.removesuffix("/v1"))
    monkeypatch.delenv("LIVEKIT_API_KEY", raising=False)
    monkeypatch.delenv("LIVEKIT_API_SECRET", raising=False)
    every = [finding async for finding in check()]
    findings = {f.subject: f for f in every}
    assert findings["LiveKit"].state == "fault"
    assert "start livekit-server there" in findings["LiveKit"].message
    assert findings["TTS embedded"].state == "ok"
    assert "espeak-ng: " in findings["TTS embedded"].message
    assert "s of speech" in findings["TTS embedded"].message
    assert findings["STT embedded"].state == "ok"
    assert "pocketsphinx-en-us: " in findings["STT embedded"].message
    notes = [f.message for f in every if f.subject == "speech"]
    assert [note.partition(":")[0] for note in notes] == [
        "espeak-ng (robotic) speaks",
        "pocketsphinx transcribes",
    ]
    assert all("`make setup` adds one" in note for note in notes)
    assert findings["call process"].state == "ok"
    assert "came up and made a sound" in findings["call process"].message


async def test_a_broken_engine_is_named_with_its_settings(
    unused_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "LIVEKIT_API_KEY": "key",
        "LIVEKIT_API_SECRET": "s" * 32,
        "TTS_ENGINE": "openai",
        "TTS_BASE_URL": unused_url,
        "STT_ENGINE": "none",
    }.items():
        monkeypatch.setenv(name, value)
    findings = {f.subject: f async for f in check()}
    assert findings["TTS openai"].state == "fault"
    assert "cannot be reached" in findings["TTS openai"].message
    assert "TTS_BASE_URL" in findings["TTS openai"].message
    assert "known: embedded" in findings["STT none"].message
    assert findings["call process"].state == "fault"
    assert "known: embedded" in findings["call process"].message


async def test_languages_to_which_callers_cannot_change_are_named_with_the_reason(
    unused_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assistants = tmp_path / "assistants.toml"
    assistants.write_text(
        '[hotel]\nlanguages = ["en", "de", "xx"]\n'
        '[shop]\nlanguages = ["en", "fr"]\nstt = "embedded"\n'
    )
    for name, value in {
        "LIVEKIT_URL": unused_url.removesuffix("/v1"),
        "ASSISTANTS_FILE": str(assistants),
        "AGENT_OTHER_LANGUAGES": "fr",
        "STT_ENGINE": "openai",
        "STT_MODEL": "whisper-1",
        "STT_BASE_URL": unused_url,
        "TTS_ENGINE": "embedded",
    }.items():
        monkeypatch.setenv(name, value)
    found: dict[str, list[str]] = {}
    async for finding in check():
        found.setdefault(finding.subject, []).append(f"{finding.state}: {finding.message}")
    assert found["AGENT_OTHER_LANGUAGES"] == ["ok: callers may change to fr"]
    there, no_voice, others = found["assistant hotel"]
    assert there.startswith("ok: its engines")
    assert no_voice.startswith("fault: callers cannot change to 'xx': TTS engine 'embedded' does")
    assert others == "ok: callers may change to de"
    assert found["assistant shop"][1:] == [
        "fault: callers cannot change to 'fr': the STT engine does not report which language it is"
    ]


async def test_an_agent_without_its_settings_says_which_are_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LIVEKIT_API_KEY", raising=False)
    monkeypatch.setenv("LIVEKIT_URL", "wss://calls.example")
    async with aclosing(check()) as findings:
        finding = await anext(findings)
    assert finding.state == "fault"
    assert "LIVEKIT_API_KEY is not set" in finding.message


async def test_a_wrong_setting_elsewhere_leaves_the_findings_on_speech(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CONNECTIONS_FILE", "gone.json")
    monkeypatch.setenv("STT_ENGINE", "embedded")
    monkeypatch.setenv("TTS_ENGINE", "embedded")
    findings = {finding.subject: finding async for finding in check()}
    assert [*findings] == ["agent", "TTS embedded", "STT embedded"]
    assert "CONNECTIONS_FILE=gone.json" in findings["agent"].message
    assert findings["TTS embedded"].state == "ok"
    assert findings["STT embedded"].state == "ok"
