"""A plugin is a module in a folder, found by its name and not imported until it is asked for."""

import importlib
import pkgutil
from collections.abc import Sequence
from types import ModuleType

from llm_router.errors import UnknownPluginError


class Plugins:
    """The plugins of one package.

    A module counts unless its name starts with an underscore or is `base` or `catalog`, which are
    what the plugins of a folder share.
    """

    _SHARED = frozenset({"base", "catalog"})

    def __init__(self, package: str, kind: str) -> None:
        self.package, self.kind = package, kind

    def names(self) -> Sequence[str]:
        path = importlib.import_module(self.package).__path__
        return sorted(
            module.name
            for module in pkgutil.iter_modules(path)
            if not module.name.startswith("_") and module.name not in self._SHARED
        )

    def load(self, name: str) -> ModuleType:
        """The module itself. Raises UnknownPluginError, which lists the known names."""
        if name not in self.names():
            raise UnknownPluginError(self.kind, name, self.names())
        return importlib.import_module(f"{self.package}.{name}")
