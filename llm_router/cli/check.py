"""What `llm-router doctor` is told. More checks come from packages that name them as entry points:

    [project.entry-points."patchbay.checks"]
    agent = "agent.checks:check"

That is how the doctor looks at LiveKit and the audio engines, which are the agent's own, without
knowing the agent.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal

CHECKS = "patchbay.checks"
"""The group of those entry points. Each is a `Check`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`said` is what was seen; of a fault, what to do about it as well. A note is no fault."""

    what: str
    state: Literal["ok", "note", "fault"]
    said: str


Check = Callable[[], AsyncIterator[Finding]]
