"""Checks that names and docstrings are plain English, as CONTRIBUTING.md asks.

Each folder is counted on its own; any count above zero fails and lists the places.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRIVATE_WORDS = frozenset({"whoever", "nobody", "told", "heard", "kept", "look", "sorries"})
"""Words that the first version of this code used in several meanings, or for want of a subject."""
VAGUE_OPENINGS = frozenset({"What", "Who", "Those", "As", "With"})
_QUOTED = re.compile(r"`[^`]*`|\"[^\"]*\"|“[^”]*”")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_OUTSIDE = {".venv", "node_modules", "__pycache__", "dist"}


def folders() -> list[str]:
    """Lists every folder that holds Python files, as a path below the checkout."""
    files = [p for top in ("agent", "llm_router", "config", "deploy", "bench", "tests")
             for p in (ROOT / top).rglob("*.py")]  # fmt: skip
    return sorted({str(p.parent.relative_to(ROOT)) for p in files if not _OUTSIDE & {*p.parts}})


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields the line and text of each docstring, those below attributes included."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for child in body if isinstance(body, list) else ():  # of a lambda: one expression
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                text = child.value.value
                if isinstance(text, str):
                    yield child.lineno, text


def names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields the line and text of each name that the code gives or uses."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield line, name
            case ast.ClassDef(name=name) | ast.arg(arg=name) | ast.Name(id=name):
                yield line, name
            case ast.Attribute(attr=name) | ast.alias(name=name) | ast.keyword(arg=str(name)):
                yield line, name


def private_words(text: str) -> list[str]:
    return sorted(PRIVATE_WORDS & {word.lower() for word in _WORD.findall(text)})


def faults(folder: str, root: Path = ROOT) -> Iterator[str]:
    """Yields one line for each name or docstring that is not plain, with its place."""
    for file in sorted((root / folder).glob("*.py")):
        where = file.relative_to(root)
        if words := private_words(file.stem):
            yield f"{where}: file name uses {', '.join(words)}"
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for line, name in names(tree):
            if words := private_words(name):
                yield f"{where}:{line}: name {name} uses {', '.join(words)}"
        for line, text in docstrings(tree):
            if words := private_words(_QUOTED.sub("", text)):
                yield f"{where}:{line}: docstring uses {', '.join(words)}"
            if text.split() and text.split()[0] in VAGUE_OPENINGS:
                yield f"{where}:{line}: docstring opens with {text.split()[0]!r}"


@pytest.mark.parametrize("folder", folders())
def test_names_and_docstrings_are_plain(folder: str) -> None:
    found = sorted(set(faults(folder)))
    assert not found, f"{len(found)} places:\n" + "\n".join(found)


def test_the_count_finds_what_it_is_for(tmp_path: Path) -> None:
    (tmp_path / "kept.py").write_text(
        '"""What is said."""\n\nheardWords = 1\n"""Told `kept` and "nobody"."""\n'
    )
    assert set(faults(".", tmp_path)) == {
        "kept.py: file name uses kept",
        "kept.py:1: docstring opens with 'What'",
        "kept.py:3: name heardWords uses heard",
        "kept.py:4: docstring uses told",
    }
