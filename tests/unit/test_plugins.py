"""Plugins: modules found by name, and not imported until they are asked for."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_router.errors import ConfigurationError, UnknownPluginError
from llm_router.plugins import Plugins

PACKAGE = "engines_of_a_test"


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[Plugins]:
    folder = tmp_path / PACKAGE
    folder.mkdir()
    for name in ("__init__", "base", "catalog", "_shared", "good"):
        (folder / f"{name}.py").write_text("")
    (folder / "explosive.py").write_text("raise RuntimeError('imported')\n")
    (folder / "table.toml").write_text("")
    sys.path.insert(0, str(tmp_path))
    yield Plugins(PACKAGE, "engine")
    sys.path.remove(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def test_names_are_the_modules_of_the_folder_without_what_they_share(engines: Plugins) -> None:
    assert engines.names() == ["explosive", "good"]


def test_listing_imports_no_plugin(engines: Plugins) -> None:
    engines.names()
    assert f"{PACKAGE}.good" not in sys.modules


def test_a_named_plugin_is_imported(engines: Plugins) -> None:
    good = engines.load("good")
    assert good.__name__ == f"{PACKAGE}.good"


def test_an_error_inside_a_plugin_is_not_hidden(engines: Plugins) -> None:
    with pytest.raises(RuntimeError, match="imported"):
        engines.load("explosive")


@pytest.mark.parametrize("name", ["", "bad", "base", "_shared", "good.x", "../good", "os"])
def test_an_unknown_name_is_refused_with_the_known_ones(engines: Plugins, name: str) -> None:
    with pytest.raises(UnknownPluginError, match="known: explosive, good") as caught:
        engines.load(name)
    assert isinstance(caught.value, ConfigurationError)
    assert (caught.value.kind, caught.value.name) == ("engine", name)
    assert caught.value.known == ("explosive", "good")


def test_an_empty_folder_says_that_none_are_known(tmp_path: Path, engines: Plugins) -> None:
    (tmp_path / PACKAGE / "nothing").mkdir()
    (tmp_path / PACKAGE / "nothing" / "__init__.py").write_text("")
    with pytest.raises(UnknownPluginError, match="known: none"):
        Plugins(f"{PACKAGE}.nothing", "engine").load("good")


def test_the_providers_of_this_package_are_plugins() -> None:
    names = Plugins("llm_router.providers", "provider").names()
    assert {"offline", "livekit_plugin", "openai_compatible"} <= set(names)
    assert not {"base", "catalog"} & set(names)
