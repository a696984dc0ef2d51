"""A supervisor of calls that only notes what it is asked for."""

from dataclasses import dataclass, field
from typing import Any

from llm_router.gateway.errors import Problem
from llm_router.voice.calls import Call
from llm_router.voice.supervision import Seat


@dataclass
class Supervisor:
    """Acts on calls by noting what it is asked for."""

    done: list[tuple[Any, ...]] = field(default_factory=list)

    def _seat(self, call: Call) -> Seat:
        url, identity = "wss://voice.example", "staff-1"
        return Seat(server_url=url, participant_token="t", identity=identity, room=call.room)

    async def listen(self, call: Call, seconds: int) -> Seat:
        self.done.append(("listen", call.id, seconds))
        return self._seat(call)

    async def whisper(self, call: Call, text: str) -> None:
        self.done.append(("whisper", call.id, text))

    async def take_over(self, call: Call) -> Seat:
        self.done.append(("take over", call.id))
        return self._seat(call)

    async def release(self, call: Call) -> None:
        self.done.append(("release", call.id))
        raise Problem(409, "call-in-another-state", "No person answers the call: an agent does.")
