"""Runs the command line in this process, over a database and over HTTP, for its tests."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from llm_router.cli.main import build
from tests.contracts.stores import MASTER_KEY
from tests.contracts.threads import api_on_a_socket, in_a_thread

KEY = "sk-0123456789-wxyz"


@dataclass(frozen=True)
class Shell:
    """Runs commands with `environ` as their environment."""

    environ: Mapping[str, str]

    def __call__(
        self, *arguments: str, typed: str = "", code: int | None = 0, **environ: str
    ) -> Result:
        """Runs one command and returns its result; the exit code must be `code`, unless None."""
        env = dict.fromkeys(UNWANTED, "") | {**self.environ} | environ
        result = CliRunner().invoke(build(), arguments, input=typed, env=env)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert code in {None, result.exit_code}, result.output
        assert KEY not in result.output
        return result

    def json(self, *arguments: str, **more: Any) -> Any:
        return json.loads(self(*arguments, "--json", **more).stdout)

    def add(self, name: str, *arguments: str, **more: Any) -> Any:
        words = ("connections", "add", name, "--provider", "offline", "--no-test", *arguments)
        return self.json(*words, **more)


UNWANTED = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY", "PATCHBAY_API_URL", "NO_COLOR")


def over_sqlite(folder: Path) -> Shell:
    return Shell(
        {
            "DATABASE_URL": f"sqlite:///{folder}/here.sqlite3",
            "ENCRYPTION_KEYS": MASTER_KEY,
            "HOME": str(folder),
        }
    )


@pytest.fixture
def here(tmp_path: Path) -> Shell:
    return over_sqlite(tmp_path)


@pytest.fixture(params=["sqlite", "http"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shell]:
    """Runs commands over a database of its own, and over HTTP as an admin."""
    if request.param == "sqlite":
        yield over_sqlite(tmp_path)
        return
    with in_a_thread(api_on_a_socket(f"sqlite:///{tmp_path}/there.sqlite3")) as api:
        settings = {"PATCHBAY_API_URL": api.url, "PATCHBAY_API_KEY": api.keys["admin"]}
        # A database that cannot be opened: no command may use it.
        yield Shell({**settings, "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"})
