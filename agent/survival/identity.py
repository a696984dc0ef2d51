"""Names the agents of a call: each has an identity of its own in the room.

LiveKit removes the participant, and ends the agent, whose identity joins a second time, so the
agent that takes a call over must not have the name of the one before it.
"""

import hashlib

_MAX_ROOM = 128
"""Characters of a room's name in an identity; longer names are shortened."""
_HASH = 16
AGENT_NAME = "agent_name"
"""Key in a call's metadata of the name by which LiveKit calls its agents."""
DEATHS = "deaths"
"""Key there of the times at which its agents have died lately, if there are any."""
ROOM_ID = "room_id"
"""Key there of LiveKit's id of the room, which tells two rooms of one name apart."""


def identity_of(room: str, epoch: int) -> str:
    if len(room) > _MAX_ROOM:
        digest = hashlib.sha256(room.encode()).hexdigest()[:_HASH]
        room = f"{room[: _MAX_ROOM - _HASH]}{digest}"
    return f"agent-{room}-{epoch}"
