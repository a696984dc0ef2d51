"""The interface of a check for `llm-router doctor`. Packages add checks as entry points:

    [project.entry-points."patchbay.checks"]
    agent = "agent.checks:check"

So the doctor checks LiveKit and the audio engines, which belong to the agent, without knowing the
agent.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal

CHECKS = "patchbay.checks"
"""Group of the entry points. Each names a `Check`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    subject: str
    """Name of the checked part, such as "database"."""
    state: Literal["ok", "note", "fault"]
    """Only a fault fails the command; a note is for information."""
    message: str
    """Describes what was found and, for a fault, what to do about it."""


Check = Callable[[], AsyncIterator[Finding]]
"""A check yields any number of findings. An exception becomes a fault of its own."""
