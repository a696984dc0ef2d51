"""Holds what tools share: what a call gives to them, and what each module of them defines."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from agent.toolbox.documents import Documents
from agent.toolbox.effects import Effects
from agent.toolbox.secrets import Secrets
from agent.toolbox.tool import Tool
from llm_router.clock import Clock, SystemClock
from llm_router.routing.phrases import Phrases
from llm_router.voice.messages import MessageBox

if TYPE_CHECKING:
    from agent.phone.keys import CallerKeys
    from agent.phone.transfer.transfers import Transfers


@dataclass(slots=True, kw_only=True)
class ToolContext:
    """The facts of one call that its tools may use, and the services; its language may change."""

    phrases: Phrases = field(default_factory=Phrases)
    language: str = "en"
    """Language of the call by now, as a code such as en."""
    call_id: str = ""
    """Name of the call, which no other call has; empty in a call of a test."""
    effects: Effects = field(default_factory=lambda: Effects(""))
    """Runs what must not be done twice."""
    room: str = ""
    """Name of the room of the call."""
    assistant: str = ""
    """Name of the assistant that answers."""
    messages: MessageBox | None = None
    """Takes messages of callers; None: there is no store for them."""
    documents: Documents | None = None
    """Texts that can be looked up, loaded; None: there are none."""
    keys: "CallerKeys | None" = None
    """Keys of a caller by telephone; None: the caller has none."""
    secrets: Secrets = field(default_factory=Secrets)
    """Numbers that the caller has typed in secret."""
    waiting: set[str] = field(default_factory=set)
    """Tools that wait for the caller: `create` adds their names, and no phrase covers them."""
    transfers: "Transfers | None" = None
    """Transfers the caller to people; None: there are none."""
    hang_up: Callable[[str], object] | None = None
    """Says these last words and ends the conversation; None: it cannot be ended."""
    clock: Clock = field(default_factory=SystemClock)


class CreateTools(Protocol):
    """The type of `create` in a module of tools.

    It only makes the tools; anything slow happens when a tool is used.
    """

    def __call__(self, context: ToolContext) -> Sequence[Tool]: ...
