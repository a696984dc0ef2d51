"""The exception tree at the top of errors.py against the classes below it."""

import inspect
import re

from llm_router import errors

_LINE = re.compile(r"^    ([│ ]*)(?:[├└]── )?(\w+)", re.MULTILINE)


def _tree() -> dict[str, str]:
    """Parent of each class in the tree of the module's docstring."""
    parents: dict[str, str] = {}
    path: list[str] = []
    assert errors.__doc__
    for match in _LINE.finditer(errors.__doc__):
        depth = (match.start(2) - match.start()) // 4 - 1
        path[depth:] = [match[2]]
        parents[match[2]] = path[depth - 1] if depth else "Exception"
    return parents


def _classes() -> dict[str, type]:
    return {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.RouterError)
    }


def test_the_tree_shows_every_class_below_its_base() -> None:
    assert _tree() == {name: cls.__bases__[0].__name__ for name, cls in _classes().items()}


def test_each_class_says_when_it_is_raised_or_caught_and_what_to_do() -> None:
    for cls in _classes().values():
        doc = inspect.cleandoc(cls.__doc__ or "")
        assert doc.startswith(("Raised ", "Base of ")), cls
        assert len(re.findall(r"\.(?:\s|$)", doc)) >= 2, f"{cls} says what to do"
