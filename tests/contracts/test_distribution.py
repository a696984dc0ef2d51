"""Checks the router as a package of its own: what its wheel holds, and that it stands alone."""

import asyncio
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest

from llm_router import __version__
from llm_router.testing.server import FaultyServer, Script

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "llm_router" / "pyproject.toml").read_text())["project"]
NOT_WITHOUT_AN_EXTRA = (
    "livekit", "fastapi", "uvicorn", "sqlalchemy", "alembic", "aiosqlite", "asyncpg", "redis",
    "typer", "rich", "pydantic_settings", "cryptography", "opentelemetry", "prometheus_client",
    "numpy", "aiohttp", "jwt", "limits", "google",
)  # fmt: skip
REFUSES = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {NOT_WITHOUT_AN_EXTRA}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Refuse())
"""
ASKS = """
import asyncio
from llm_router import ChatRequest, Connection, open_router
async def main():
    async with open_router([Connection(name="a", base_url=sys.argv[1], model_name="m")]) as router:
        async for chunk in router.stream(ChatRequest(messages=[{"role": "user", "content": "hi"}])):
            print(chunk.text, end="")
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds the wheel with the backend that set-up installed, so that no index is asked."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--no-index", "--wheel-dir", folder, ROOT / "llm_router"],
        check=True,
    )  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_router_and_nothing_else(wheel: Path) -> None:
    assert wheel.name.startswith(f"patchbay_router-{__version__}-")
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"llm_router", f"patchbay_router-{__version__}.dist-info"}
    code = (path for path in (ROOT / "llm_router").rglob("*.py") if "__pycache__" not in path.parts)
    ours = {path.relative_to(ROOT).as_posix() for path in code}
    assert ours <= names
    assert {"llm_router/py.typed", "llm_router/catalog/prices.toml"} <= names


def run_alone(wheel: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs code over the wheel, in a process that refuses the packages of the extras."""
    return subprocess.run(
        [sys.executable, "-P", "-c", f"{REFUSES}sys.path.insert(0, {str(wheel)!r})\n{code}",
         *arguments],
        capture_output=True, text=True, check=False, cwd=wheel.parent,
    )  # fmt: skip


async def test_the_router_answers_without_any_extra(wheel: Path) -> None:
    async with FaultyServer(Script(words=("All", " is", " well."))) as server:
        done = await asyncio.to_thread(run_alone, wheel, ASKS, server.base_url)
    assert (done.returncode, done.stdout) == (0, "All is well."), done.stderr


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("import llm_router.integrations.livekit", "pip install './llm_router[livekit]'"),
        ("from llm_router.cli.__main__ import run; run()", "pip install './llm_router[cli]'"),
    ],
)
def test_a_part_without_its_packages_names_its_extra(wheel: Path, code: str, extra: str) -> None:
    done = run_alone(wheel, code)
    assert done.returncode != 0
    assert extra in done.stderr


def test_the_router_needs_few_packages() -> None:
    """The names of the packages are also those that the messages and documents tell to install."""
    own = {re.split(r"[\[<>=~!; ]", need)[0] for need in PROJECT["dependencies"]}
    assert own == {"httpx2", "httpcore2", "aiohappyeyeballs", "pydantic", "python-dotenv"}
    for name in own:
        for need in requires(name) or ():
            assert not need.startswith(("livekit", "fastapi", "sqlalchemy")), need
