"""Names the rooms of telephone calls, and reads the called number from a name.

LiveKit makes the room of a call that comes in: the prefix, the called number, and chance. So the
agent knows the number as its job begins, and no room's name holds the caller's.
"""

ROOM_PREFIX = "phone-"
"""Every room of a telephone call begins with it."""


def is_phone_room(room: str) -> bool:
    return room.startswith(ROOM_PREFIX)


def called_number(room: str) -> str:
    """Returns the number that was called, as the carrier sent it; empty for other rooms."""
    start = f"{ROOM_PREFIX}_"
    if not room.startswith(start):
        return ""
    number, sign, chance = room.removeprefix(start).rpartition("_")
    return number if sign and chance else ""


def outgoing_room(chance: str) -> str:
    """Returns the name of the room of a call that an agent makes. No number is in it."""
    return f"{ROOM_PREFIX}out-{chance}"
