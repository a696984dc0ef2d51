"""Tells callers from the persons who are in a call's room for them. Pure.

The server gives the identities of the latter: visitors and callers on the telephone have others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from livekit.protocol.models import ParticipantInfo, TrackType

_STAFF = "staff-"
PERSON = f"{_STAFF}person-"
"""Begin of the identity of a person on the telephone to whom a call is transferred."""
LISTENER = f"{_STAFF}listener-"
"""Begin of that of a supervisor who listens, and whom the others in the room cannot notice."""
SUPERVISOR = f"{_STAFF}supervisor-"
"""Begin of that of a supervisor who answers the call."""
PERSON_ATTRIBUTE = "patchbay.person"
"""Attribute of a person who answers a call: the page must not wait for an agent beside them."""
UNTIL_ATTRIBUTE = "patchbay.until"
"""Attribute of a supervisor who listens: the time (s since 1970) until which they may."""
TRANSFER_TOOL = "transfer_call"
"""Name of the tool with which a model transfers a caller to a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """The persons in a room, by identity.

    `answering`: those who speak with the callers in an agent's place; `speaking`: those of them
    whose sound has come.
    """

    callers: Sequence[str] = ()
    answering: Sequence[str] = ()
    speaking: Sequence[str] = ()

    @classmethod
    def of(cls, found: Sequence[ParticipantInfo]) -> Self:
        answering = [each for each in found if each.identity.startswith((PERSON, SUPERVISOR))]
        return cls(
            callers=[each.identity for each in found if is_caller(each)],
            answering=[each.identity for each in answering],
            speaking=[each.identity for each in answering if _has_sound(each)],
        )


def is_staff(identity: str) -> bool:
    return identity.startswith(_STAFF)


def is_caller(person: ParticipantInfo) -> bool:
    is_agent = person.kind == ParticipantInfo.Kind.AGENT
    return not is_agent and not person.identity.startswith(_STAFF)


def is_late(person: ParticipantInfo, now: float) -> bool:
    """Returns whether a supervisor listens for longer than they may; `now` in s since 1970."""
    until = person.attributes.get(UNTIL_ATTRIBUTE, "")
    return person.identity.startswith(LISTENER) and until.isdecimal() and now >= int(until)


def _has_sound(person: ParticipantInfo) -> bool:
    return any(track.type == TrackType.AUDIO for track in person.tracks)
