"""Holds what a caller has typed in secret, so that tools get it and nothing else does.

A model is given a name in its place, such as `secret-pin-1`, and gives that name to the tool that
needs the value. So the history, the stored call, its receipts and the logs have the name alone.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agent.toolbox.effects import NotDoneError

MASK = "••••"
_LIKE = re.compile(r"\bsecret(?:-[a-z0-9]+)+-\d+\b")
"""The form of a name that stands for a value."""
_NAME = re.compile(r"[^a-z0-9]+")
_SHORTEST = 4
"""Characters of a value that is hidden in answers: a shorter one would be found everywhere."""


class Secrets:
    """The secret values of one call, in the memory of its process alone."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def put(self, label: str, value: str) -> str:
        """Returns the name that stands for the value: a new one each time, also of one label."""
        plain = _NAME.sub("-", label.lower()[:40]).strip("-") or "value"
        name = f"secret-{plain}-{len(self._values) + 1}"
        self._values[name] = value
        return name

    def reveal(self, value: Any) -> Any:
        """Returns the value with all names in its texts replaced by what they stand for."""
        if not self._values:
            return value
        if isinstance(value, str):
            return _LIKE.sub(lambda found: self._values.get(found[0], found[0]), value)
        if isinstance(value, Mapping):
            return {key: self.reveal(each) for key, each in value.items()}
        if isinstance(value, Sequence):
            return [self.reveal(each) for each in value]
        return value

    def hide(self, text: str) -> str:
        """Returns a tool's answer without secret values: some repeat what they were given."""
        for value in sorted(self._values.values(), key=len, reverse=True):
            if len(value) >= _SHORTEST:
                text = text.replace(value, MASK)
        return text

    def require(self, arguments: Mapping[str, Any]) -> None:
        """Raises ToolError if a text is the name of a value that is not known any more.

        An agent that has died took the values of its call along.
        """
        texts = [value for value in arguments.values() if isinstance(value, str)]
        if any(_LIKE.fullmatch(text) and text not in self._values for text in texts):
            raise NotDoneError("what was typed in secret is not known any more: ask for it again")

    def __repr__(self) -> str:
        return f"<Secrets {len(self._values)}>"
