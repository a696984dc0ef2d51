"""CONTRIBUTING.md: its example is a policy that works, and its table names files that exist."""

import re
import sys
from collections.abc import Iterator
from contextlib import aclosing
from inspect import signature
from pathlib import Path

import pytest

from llm_router import ChatRequest, Connection, open_router
from llm_router.assembly import POLICIES
from llm_router.routing import policies
from llm_router.routing.policies.base import Policy
from llm_router.testing.server import FaultyServer, Script

ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
ADD_SOMETHING = CONTRIBUTING.partition("## Add something")[2].partition("\n## ")[0]
HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}])


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Writes the example's code block as a policy module and yields the name of the policy."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", ADD_SOMETHING, re.DOTALL | re.MULTILINE)
    (name,) = re.findall(r'^"""`(\w+)`', code)
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.setattr(policies, "__path__", [*policies.__path__, str(tmp_path)])
    yield name
    sys.modules.pop(f"{policies.__name__}.{name}", None)


async def test_the_example_policy_routes_a_reply(example: str) -> None:
    async with (
        FaultyServer(Script(words=["from the first"])) as first,
        FaultyServer(Script(words=["from the last"])) as last,
        open_router(
            [
                Connection(name="first", base_url=first.base_url, priority=1),
                Connection(name="last", base_url=last.base_url, priority=2),
            ],
            policy=example,
        ) as router,
        aclosing(router.stream(HELLO)) as reply,
    ):
        assert "".join([chunk.text async for chunk in reply]) == "from the last"
        assert (len(first.requests), len(last.requests)) == (0, 1)


@pytest.mark.parametrize("method", ["rank", "choose"])
def test_the_example_policy_names_its_parameters_as_the_protocol_does(
    example: str, method: str
) -> None:
    written = signature(getattr(type(POLICIES.load(example)()), method))
    assert [*written.parameters] == [*signature(getattr(Policy, method)).parameters]


def test_the_table_names_files_that_exist() -> None:
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \| ([^|]+) \|", ADD_SOMETHING, re.MULTILINE)[2:]
    paths = re.findall(r"`([\w./]+/[\w./<>]+)`", " ".join(cell for row in rows for cell in row))
    assert len(paths) >= len(rows) > 1
    for path in paths:
        folder = path.removesuffix("/<name>.py")
        assert (ROOT / folder).exists(), path
