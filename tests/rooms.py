"""A LiveKit room for tests, as an agent's client shows it."""

from types import SimpleNamespace
from typing import Any, cast

from livekit import rtc


class FakeRoom(rtc.EventEmitter[str]):
    """A room that participants come to and leave, and that the client itself may lose."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "room"
        self.remote_participants: dict[str, Any] = {}
        self.connection_state = rtc.ConnectionState.CONN_CONNECTED

    @property
    def room(self) -> rtc.Room:
        return cast("rtc.Room", self)

    def isconnected(self) -> bool:
        return True

    def enter(self, identity: str = "sip", kind: str = "SIP", status: str = "ringing") -> Any:
        number = rtc.ParticipantKind.Value(f"PARTICIPANT_KIND_{kind}")
        attributes = {"sip.callStatus": status} if status else {}
        person = SimpleNamespace(
            identity=identity,
            kind=number,
            attributes=attributes,
            disconnect_reason=None,
            track_publications={},
        )
        self.remote_participants[identity] = person
        self.emit("participant_connected", person)
        return person

    def become(self, person: Any, status: str) -> None:
        person.attributes["sip.callStatus"] = status
        self.emit("participant_attributes_changed", {"sip.callStatus": status}, person)

    def leave(self, person: Any, reason: str | None = "CLIENT_INITIATED") -> None:
        person.disconnect_reason = reason and rtc.DisconnectReason.Value(reason)
        del self.remote_participants[person.identity]
        self.emit("participant_disconnected", person)

    def lose(self) -> None:
        """Begins to join the room anew, as LiveKit's client does: it says first that all left."""
        for person in [*self.remote_participants.values()]:
            self.leave(person, reason=None)
        self.connection_state = rtc.ConnectionState.CONN_RECONNECTING
        self.emit("reconnecting")

    def is_back(self, *people: Any) -> None:
        """Has joined the room anew, in which these are."""
        self.connection_state = rtc.ConnectionState.CONN_CONNECTED
        for person in people:
            status = person.attributes.get("sip.callStatus", "")
            kind = rtc.ParticipantKind.Name(person.kind).removeprefix("PARTICIPANT_KIND_")
            self.enter(person.identity, kind, status)
        self.emit("reconnected")
