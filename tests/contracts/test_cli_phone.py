"""`llm-router phone`: what it says before it reaches LiveKit. tests/phone has the rest."""

import socket
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from llm_router.cli import groups
from llm_router.cli.main import main
from tests.contracts.cli_shell import Shell


def _without_a_server() -> str:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return f"ws://127.0.0.1:{held.getsockname()[1]}"


@pytest.mark.parametrize("command", [("plan",), ("apply", "--yes")])
def test_a_server_that_is_away_is_named(here: Shell, command: Sequence[str]) -> None:
    url = _without_a_server()
    failed = here("phone", *command, code=2, LIVEKIT_URL=url)
    assert f"nothing answers at {url}: start livekit-server there" in failed.stderr


def test_a_fault_of_the_file_is_named_and_livekit_is_not_asked(here: Shell, tmp_path: Path) -> None:
    file = tmp_path / "phone.toml"
    file.write_text('[[numbers]]\nnumber = "030 123456"\n')
    failed = here("phone", "plan", code=2, PHONE_FILE=str(file))
    assert f"llm-router: {file}, line 2: [[numbers]] 1" in failed.stderr
    assert "has no country code" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


def test_the_program_has_two_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("llm-router", "patchbay"):
        monkeypatch.setattr(sys, "argv", [f"/usr/bin/{name}"])
        assert main(["--version"]) == 0
        assert capsys.readouterr().out.startswith(f"{name} ")
        assert main(["phone", "nothing"]) == 2
        assert f"{name}: No such command" in capsys.readouterr().err


def test_a_group_that_cannot_be_loaded_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = EntryPoint("fax", "agent.commands.fax:app", groups.COMMANDS)
    monkeypatch.setattr(groups, "entry_points", lambda **_: [broken])
    assert main(["--version"]) == 0
    capsys.readouterr()
    assert main(["fax"]) == 2
    assert "fax cannot be loaded (ModuleNotFoundError" in capsys.readouterr().err
