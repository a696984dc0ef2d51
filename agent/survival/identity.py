"""Names the agents of a call: each has an identity of its own in the room.

LiveKit removes the participant, and ends the agent, whose identity joins a second time, so the
agent that takes a call over must not have the name of the one before it.
"""

import hashlib

_MAX_ROOM = 128
"""Characters of a room's name in an identity; longer names are shortened."""
_HASH = 16
_MAX_DIGITS = 9
AGENT_NAME = "agent_name"
"""Key in a call's metadata of the name by which LiveKit calls its agents."""
DEATHS = "deaths"
"""Key there of the times at which its agents have died lately, if there are any."""
OUTGOING = "outgoing"
"""Key of a call's metadata with what a later agent needs of a call that is placed."""
TERMS = "terms"
"""Key there of what the visitor's site allows the call, as `dispatch.SiteTerms` in JSON."""
ROOM_ID = "room_id"
"""Key there of LiveKit's id of the room, which tells two rooms of one name apart."""


def identity_of(room: str, epoch: int) -> str:
    if len(room) > _MAX_ROOM:
        digest = hashlib.sha256(room.encode()).hexdigest()[:_HASH]
        room = f"{room[: _MAX_ROOM - _HASH]}{digest}"
    return f"agent-{room}-{epoch}"


def epoch_in(identity: str, room: str) -> int:
    """Returns the epoch of the agent of this identity in the room; 0 if it is none of ours."""
    digits = identity.rpartition("-")[2]
    epoch = int(digits) if digits.isdecimal() and len(digits) <= _MAX_DIGITS else 0
    return epoch if identity == identity_of(room, epoch) else 0
