"""Plugins: modules found by name, and not imported until they are loaded."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from llm_router.errors import ConfigurationError, UnknownPluginError
from llm_router.plugins import Plugins
from llm_router.providers.base import PROVIDERS

PACKAGE = "engines_of_a_test"
GOOD = "titles = ['good']\n\ndef create() -> str:\n    return 'a good engine'\n"


class CreateEngine(Protocol):
    def __call__(self) -> str: ...


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[Plugins[CreateEngine]]:
    folder = tmp_path / PACKAGE
    folder.mkdir()
    for name in ("__init__", "base", "_shared", "empty"):
        (folder / f"{name}.py").write_text("")
    (folder / "good.py").write_text(GOOD)
    (folder / "odd.py").write_text("create = 'no function'\ntitles = 'no list'\n")
    (folder / "explosive.py").write_text("raise RuntimeError('imported')\n")
    (folder / "table.toml").write_text("")
    sys.path.insert(0, str(tmp_path))
    yield Plugins(PACKAGE, "engine")
    sys.path.remove(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def test_names_are_the_modules_of_the_folder_without_what_they_share(
    engines: Plugins[CreateEngine],
) -> None:
    assert engines.names() == ["empty", "explosive", "good", "odd"]


def test_listing_imports_no_plugin(engines: Plugins[CreateEngine]) -> None:
    engines.names()
    assert f"{PACKAGE}.good" not in sys.modules


def test_a_named_plugin_is_imported_and_gives_its_attribute(
    engines: Plugins[CreateEngine],
) -> None:
    create = engines.load("good")
    assert create.__module__ == f"{PACKAGE}.good"
    assert create() == "a good engine"


@pytest.mark.parametrize("name", ["empty", "odd"])
def test_a_module_without_the_function_is_refused_and_the_error_says_what_to_define(
    engines: Plugins[CreateEngine], name: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        engines.load(name)
    assert str(caught.value) == (
        f"engine '{name}': the module {PACKAGE}.{name} must define `create`, a function"
    )


@pytest.mark.usefixtures("engines")
def test_an_attribute_can_be_an_object_of_a_class() -> None:
    titles = Plugins(PACKAGE, "engine", attribute="titles", instance_of=list)
    assert titles.load("good") == ["good"]
    with pytest.raises(ConfigurationError, match="must define `titles`, list"):
        titles.load("odd")


def test_an_error_inside_a_plugin_is_not_hidden(engines: Plugins[CreateEngine]) -> None:
    with pytest.raises(RuntimeError, match="imported"):
        engines.load("explosive")


@pytest.mark.parametrize("name", ["", "bad", "base", "_shared", "good.x", "../good", "os"])
def test_an_unknown_name_is_refused_with_the_known_ones(
    engines: Plugins[CreateEngine], name: str
) -> None:
    with pytest.raises(UnknownPluginError, match="known: empty, explosive, good, odd") as caught:
        engines.load(name)
    assert isinstance(caught.value, ConfigurationError)
    assert (caught.value.kind, caught.value.name) == ("engine", name)
    assert caught.value.known == ("empty", "explosive", "good", "odd")


@pytest.mark.usefixtures("engines")
def test_an_empty_folder_says_that_none_are_known(tmp_path: Path) -> None:
    (tmp_path / PACKAGE / "nothing").mkdir()
    (tmp_path / PACKAGE / "nothing" / "__init__.py").write_text("")
    nothing: Plugins[CreateEngine] = Plugins(f"{PACKAGE}.nothing", "engine")
    with pytest.raises(UnknownPluginError, match="known: none"):
        nothing.load("good")


def test_the_providers_of_this_package_are_plugins() -> None:
    names = PROVIDERS.names()
    assert {"offline", "livekit_plugin", "openai_compatible"} <= set(names)
    assert "base" not in names


def test_a_default_stands_for_the_attribute_in_modules_without_it(
    engines: Plugins[CreateEngine],
) -> None:
    def create() -> str:
        return "the default"

    with_default = Plugins[CreateEngine](engines.package, "engine", default=create)
    assert [with_default.load(name)() for name in ("empty", "good")] == [
        "the default",
        "a good engine",
    ]
