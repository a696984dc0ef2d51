"""Reads docker-compose.yml as Docker Compose does, by its own library."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy import paths, stamps, toolchain
from deploy.console import Step

COMPOSE = paths.ROOT / "docker-compose.yml"
KEYS = {"LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "secret-of-the-test"}
_CHECKER = Path(__file__).parent / "compose_check"

Load = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds the checker, once for its sources, in the cache."""
    sources = stamps.digest_files(_CHECKER, _CHECKER.iterdir())
    folder = paths.cache_folder() / "compose-check" / sources[:16]
    if not folder.is_dir():
        with stamps.staged(folder) as staging:
            step = Step("compose check", tmp_path_factory.mktemp("logs") / "build.log")
            go = toolchain.find_go((1, 26)) or toolchain.fetch_go(staging / "go", step)
            step.run(
                [go, "build", "-o", staging / "compose-check", "."],
                cwd=_CHECKER,
                environ={"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"},
                remedy="check that this machine reaches a Go module proxy",
            )
            stamps.remove(staging / "go")
    return folder / "compose-check"


@pytest.fixture
def load(checker: Path, tmp_path: Path) -> Load:
    """Loads a compose file's text, with only this environment and the .env of `tmp_path`."""

    def run(text: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        file = tmp_path / "docker-compose.yml"
        file.write_text(text)
        return subprocess.run(
            [checker, file],
            cwd=tmp_path,
            env={"PATH": os.defpath, **environ},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def services(load: Load, **environ: str) -> dict[str, Any]:
    """Returns the services that would run, by name."""
    answer = load(COMPOSE.read_text(), **{**KEYS, **environ})
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)["services"]
    return found
