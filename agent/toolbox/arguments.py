"""Checks a model's arguments against a tool's JSON schema before the tool is called.

The schema may be a foreign server's, so the check is bounded. Patterns are left to the tool, since
one may take forever; so are references to other documents, since none are fetched. Where a schema
cannot be checked, the tool judges its arguments itself.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agent.toolbox.errors import ToolError

_MOST_STEPS = 20_000
"""Keywords that one check applies; some references make a check that would not end."""
_MOST_CHARACTERS = 200
"""Characters of a fault that the model gets."""
_LEFT_TO_THE_TOOL = frozenset({"pattern", "patternProperties", "format"})
_logger = logging.getLogger("patchbay.tools")
Keyword = Callable[..., Iterator[Any] | None]


class _EndlessError(Exception):
    """The check takes too many steps."""


class ArgumentCheck:
    """Checks the arguments of one tool, whose schema is `schema`; `name` is for logs."""

    def __init__(self, name: str, schema: Mapping[str, Any]) -> None:
        self._name = name
        self._schema = dict(schema)
        self._validator: Any = None
        self._left = 0

    async def require(self, arguments: Mapping[str, Any]) -> None:
        """Raises ToolError with one line for the model if the arguments do not fit."""
        # In a thread: the library takes a tenth of a second to load.
        if fault := await asyncio.to_thread(self._fault, dict(arguments)):
            raise ToolError(f"the arguments do not fit: {fault}; correct them and call it again")

    def _fault(self, arguments: Mapping[str, Any]) -> str:
        try:
            self._validator = self._validator or self._build()
            self._left = _MOST_STEPS
            return _explain([*self._validator.iter_errors(arguments)])
        except Exception as error:  # noqa: BLE001  whatever a foreign schema makes of the library
            kind = type(error).__name__
            _logger.warning("tool %s: its schema cannot be checked (%s)", self._name, kind)
            return ""

    def _build(self) -> Any:
        import jsonschema.validators as library  # type: ignore[import-untyped]  # noqa: PLC0415  slow
        from referencing import Registry  # noqa: PLC0415

        base = library.validator_for(self._schema, default=library.Draft202012Validator)
        keywords = {
            name: _skip if name in _LEFT_TO_THE_TOOL else self._counted(apply)
            for name, apply in base.VALIDATORS.items()
        }
        # An empty registry fetches nothing; the library's own would.
        return library.extend(base, keywords)(self._schema, registry=Registry())

    def _counted(self, apply: Keyword) -> Keyword:
        def counted(*arguments: Any) -> Iterator[Any] | None:
            self._left -= 1
            if self._left < 0:
                raise _EndlessError
            return apply(*arguments)

        return counted


def _skip(*_: Any) -> None:
    """Applies nothing."""


def _explain(errors: list[Any]) -> str:
    """Returns the fault that says most; empty without one."""
    if not errors:
        return ""
    from jsonschema.exceptions import best_match  # type: ignore[import-untyped]  # noqa: PLC0415

    error = best_match(errors)
    place = ".".join(str(part) for part in error.absolute_path)
    message = " ".join(error.message.split())
    return (f"{place}: {message}" if place else message)[:_MOST_CHARACTERS]
