"""Checks the layout that ARCHITECTURE.md promises, for modules that do not exist yet too."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "llm_router"
ROUTING = ENGINE / "routing"
AWAITING = frozenset({"attempt", "draining", "forwarding", "mailbox", "reply", "router"})
"""The modules of `routing` that carry decisions out; every other one only decides."""
IMPURE = frozenset({"asyncio", "time", "random", "httpx2"})
MOST_AT_THE_ROOT = 14
SHORTEST_PARAGRAPH = 80
"""Characters of a package's docstring that say what belongs there."""


def packages() -> list[Path]:
    """Lists every package of the product, as a folder."""
    return [file.parent for top in ("agent", "llm_router", "config")
            for file in sorted((ROOT / top).rglob("__init__.py"))]  # fmt: skip


def imports(file: Path) -> Iterator[str]:
    """Yields the first part of the name of each module that a file imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_few_modules_stand_at_the_root_of_the_engine() -> None:
    assert len([*ENGINE.glob("*.py")]) <= MOST_AT_THE_ROOT


@pytest.mark.parametrize("package", packages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_package_says_what_belongs_there(package: Path) -> None:
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text()))
    assert docstring
    assert len(docstring) >= SHORTEST_PARAGRAPH, docstring


@pytest.mark.parametrize("module", sorted(ROUTING.rglob("*.py")), ids=lambda path: path.stem)
def test_a_module_of_routing_decides_without_waiting(module: Path) -> None:
    found = IMPURE & {*imports(module)}
    assert not found or (module.stem in AWAITING and found == {"asyncio"}), found
