"""Checks that docs/api.md lists every type of problem that the HTTP API answers, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from llm_router.gateway.errors import PLAIN_PROBLEMS

ROOT = Path(__file__).parents[2]
_ROW = re.compile(r"^\| `/problems/([a-z-]+)` \| (\d{3}) \|", re.MULTILINE)
_TAKEN = {(409, "id-taken"), (409, "name-taken")}
"""Problems of TakenError, whose field makes their name."""


def raised() -> Iterator[tuple[int, str]]:
    """Yields the status and the kind of each Problem that the code makes."""
    for folder in ("agent", "llm_router"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Problem":
                    match node.args[:2]:
                        case [ast.Constant(value=int(status)), ast.Constant(value=str(kind))]:
                            yield status, kind


def test_the_page_lists_every_type_of_problem() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed = {(int(status), kind) for kind, status in _ROW.findall(page)}
    assert listed == {*raised(), *PLAIN_PROBLEMS.values(), *_TAKEN}
