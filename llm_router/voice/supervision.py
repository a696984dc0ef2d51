"""Defines the port by which a supervisor listens to a call, whispers to its agent, or takes over.

Pure. The API offers it; the process that reaches LiveKit implements it.
"""

from dataclasses import dataclass, field
from typing import Protocol

from llm_router.voice.calls import Call

MAX_WHISPER = 500
"""Characters of an instruction to an agent."""
LISTENS_FOR = (10, 900, 3600)
"""Seconds for which a supervisor may listen: the least, the usual and the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A supervisor's way into the room of one call."""

    server_url: str
    """LiveKit's address, as browsers reach it."""
    participant_token: str = field(repr=False)
    """Token for this room alone; it is to be used at once."""
    identity: str
    room: str


class CallSupervisor(Protocol):
    """Acts on calls that go on. Raises Problem for a call in which that cannot be, and LiveKit's
    errors as Problem.
    """

    async def listen(self, call: Call, seconds: int) -> Seat:
        """Lets a supervisor listen for a time. The others in the room do not notice."""

    async def whisper(self, call: Call, text: str) -> None:
        """Gives the agent an instruction, which the caller does not receive."""

    async def take_over(self, call: Call) -> Seat:
        """Lets a supervisor answer. The agent leaves once their sound is in the room."""

    async def release(self, call: Call) -> None:
        """Has an agent answer again, and the supervisor leave."""
