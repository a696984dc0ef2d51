"""docs/tools.md: its module is a tool that works, its TOML declares tools, its table names all."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import tools
from agent.toolbox.tool import DeclaredTool
from agent.tools.base import ToolContext
from llm_router.voice.tools import HttpTool, McpServer

PAGE = (Path(__file__).parents[2] / "docs" / "tools.md").read_text()


@pytest.fixture
def dice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Writes the page's module into the folder of tools and yields its name."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    (name,) = re.findall(r'^"""`(\w+)`', code)
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.setattr(tools, "__path__", [*tools.__path__, str(tmp_path)])
    yield name
    sys.modules.pop(f"{tools.__name__}.{name}", None)


async def test_the_module_of_the_page_is_a_tool_that_works(dice: str) -> None:
    (throw_die,) = tools.load([dice], ToolContext())
    assert isinstance(throw_die, DeclaredTool)
    assert int(await throw_die.run({})) in range(1, 7)
    assert not tools.needs_livekit(dice)


def test_the_declarations_of_the_page_are_tools() -> None:
    declared = "\n".join(re.findall(r"^```toml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
    shop = tomllib.loads(declared)["tea-shop"]
    assert [HttpTool(**tool).changes for tool in shop["http_tools"]] == [True]
    assert [McpServer(**server).tools for server in shop["mcp_servers"]] == [("count_boxes",)]


def test_the_table_names_every_built_in_tool() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert sorted(rows) == tools.TOOLS.names()
