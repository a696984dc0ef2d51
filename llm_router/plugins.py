"""Finds plugins: modules of a folder, found by name and imported only when they are loaded."""

import importlib
import pkgutil
from collections.abc import Sequence
from typing import Generic, TypeVar

from llm_router.errors import ConfigurationError, UnknownPluginError

P = TypeVar("P")


class Plugins(Generic[P]):
    """Finds the plugins of one package. Each module defines `attribute`, which is a `P`.

    A module is a plugin unless its name is `base`, which is the module that the plugins of a folder
    share, or starts with an underscore.

    `kind` names the plugins in error messages. `instance_of` is the class of the attribute; without
    it the attribute must be callable. `default` stands for the attribute in modules without it.
    mypy does not see a module that is found by name, so a contract test compares the parameters of
    each plugin with those of `P`.
    """

    def __init__(
        self,
        package: str,
        kind: str,
        *,
        attribute: str = "create",
        instance_of: type[P] | None = None,
        default: P | None = None,
    ) -> None:
        self.package = package
        self.kind = kind
        self._attribute = attribute
        self._instance_of = instance_of
        self._default = default
        self._loaded: dict[str, P] = {}

    def names(self) -> Sequence[str]:
        """Lists the plugins by name, in alphabetical order, and imports none of them."""
        path = importlib.import_module(self.package).__path__
        names = (module.name for module in pkgutil.iter_modules(path))
        return sorted(name for name in names if name != "base" and not name.startswith("_"))

    def load(self, name: str) -> P:
        """Imports the plugin and returns its attribute. Blocks for as long as the import takes.

        Raises UnknownPluginError, which lists the known names, and ConfigurationError for a module
        that does not define the attribute. An exception that the module raises is passed on.
        """
        if name in self._loaded:
            return self._loaded[name]
        if name not in self.names():
            raise UnknownPluginError(self.kind, name, self.names())
        module = importlib.import_module(f"{self.package}.{name}")
        found: P | None = getattr(module, self._attribute, self._default)
        if found is None or not self._is_valid(found):
            needed = self._instance_of.__name__ if self._instance_of else "a function"
            raise ConfigurationError(
                f"{self.kind} {name!r}: the module {module.__name__} must define "
                f"`{self._attribute}`, {needed}"
            )
        self._loaded[name] = found
        return found

    def _is_valid(self, found: P) -> bool:
        if self._instance_of is None:
            return callable(found)
        return isinstance(found, self._instance_of)
