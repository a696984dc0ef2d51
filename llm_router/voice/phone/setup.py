"""Defines PhoneSetup: the telephone's file as records, checked as a whole."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from llm_router.voice.assistant import DEFAULT, AssistantName
from llm_router.voice.phone.numbers import comparable, is_emergency, same_for_people
from llm_router.voice.phone.opening import OpeningHours
from llm_router.voice.phone.records import (
    Address,
    Header,
    Host,
    Name,
    Network,
    Number,
    Record,
    Word,
)

VOICEMAIL = "voicemail"
"""Value of `closed` that takes a message instead of naming an assistant."""
MAX_NUMBERS = 20_000
LONGEST_RING = 75.0
"""Seconds for which a called telephone may ring. livekit-server 1.13.5 ends a dial after 80
(pkg/service/sip.go), in which livekit-sip joins the room as well."""

KEY_PATTERN = r"^[0-9*#]$"
PREFIX_PATTERN = r"^\+[0-9]{1,15}$"
Key = Annotated[str, Field(pattern=KEY_PATTERN)]
Words = Annotated[str, Field(min_length=1, max_length=500)]
_Seconds = Annotated[float, Field(ge=1, le=300, strict=True)]
_Minutes = Annotated[float, Field(ge=0.1, le=1440, strict=True)]


def _within_a_dial(seconds: float) -> float:
    if seconds > LONGEST_RING:
        raise ValueError(
            f"should be at most {LONGEST_RING:g}: LiveKit's server waits 80 seconds for an answer,"
            " and would not say what became of a call that rings for longer"
        )
    return seconds


class Media(Record):
    """Sound of the calls."""

    codecs: Annotated[tuple[Literal["G722", "PCMU", "PCMA"], ...], Field(max_length=3)] = ()
    """Codecs that are offered and taken, the best first. Empty: LiveKit's own choice."""
    encryption: Literal["disable", "allow", "require"] = "disable"
    """Encryption of the sound (SRTP)."""
    timeout: Annotated[float, Field(ge=1, le=600, strict=True)] | None = None
    """Seconds without a packet from the other side after which a call ends. Not set: LiveKit's."""


class SipService(Record):
    """Where livekit-sip is, for the doctor; calls do not need it."""

    address: Host = "127.0.0.1:5060"
    """Address at which it takes calls, as seen from this machine."""
    health: Annotated[str, Field(max_length=256, pattern=r"^https?://[^\s@/]+(/\S*)?$")] | None = (
        None
    )
    """Address of its health check, where `health_port` is set in its own configuration."""
    redis: Host | None = None
    """Address of the Redis that it shares with livekit-server."""


class Trunk(Record):
    """One line to a carrier or to a telephone system."""

    name: Name
    """Name by which numbers and [outbound] refer to it."""

    # Calls in.
    allowed_addresses: Annotated[tuple[Network, ...], Field(max_length=1000)] = ()
    """Addresses and networks from which calls are taken. Empty: from any."""
    inbound_username: Word | None = None
    """Name that the other side must give with a call."""
    inbound_password: SecretStr | None = None
    """Its password, as "${VARIABLE}"."""
    other_numbers: AssistantName | None = None
    """Assistant that answers called numbers which the file does not have. Not set: such calls are
    dropped, and the caller hears silence."""
    ring_for: _Seconds = 30.0
    """Seconds for which a call rings before it is refused, when no agent takes it."""
    max_minutes: _Minutes = 60.0
    """Minutes after which a call is ended."""
    headers: Annotated[tuple[Header, ...], Field(max_length=50)] = ()
    """SIP headers of a call that its assistant may read."""
    hide_callers: bool = False
    """Whether the caller's number stays hidden from the agent and from the call's record."""

    # Calls out.
    address: Host | None = None
    """Address of the carrier for calls out. Not set: the trunk has none."""
    transport: Literal["auto", "udp", "tcp", "tls"] = "auto"
    """Transport of calls out."""
    username: Word | None = None
    """Name that the carrier asks for."""
    password: SecretStr | None = None
    """Its password, as "${VARIABLE}"."""
    caller_id: Number | None = None
    """Number that calls out on it show. Not set: that of [outbound]."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        for name in ("inbound_username", "username"):
            secret = name.replace("username", "password")
            if (getattr(self, name) is None) != (getattr(self, secret) is None):
                raise ValueError(f"{name} and {secret} belong together; write both, or neither")
        if self.username and not self.address:
            raise ValueError(
                "username is for calls out, which need an address; for calls in write"
                " inbound_username"
            )
        if self.other_numbers and not (self.allowed_addresses or self.inbound_username):
            raise ValueError(
                "other_numbers takes any call, so say whose: write allowed_addresses, or"
                " inbound_username and inbound_password"
            )
        return self

    @property
    def is_open(self) -> bool:
        """Whether anybody who knows a number may call it through this trunk."""
        return not (self.allowed_addresses or self.inbound_username)


class PhoneNumber(Record):
    """A number that is answered."""

    number: Number
    """Number as E.164, such as +4930123456, or an extension of a telephone system."""
    trunk: Name | None = None
    """Trunk on which its calls come in. Not set: the only one."""
    assistant: AssistantName = DEFAULT
    """Assistant that answers."""
    hours: Name | None = None
    """Name of the [hours] in which it answers. Not set: always."""
    closed: AssistantName = VOICEMAIL
    """Outside of those: "voicemail", which takes a message, or another assistant."""
    keys: Annotated[Mapping[Key, Words], Field(max_length=12)] = Field(default_factory=dict)
    """Words for which a key stands: pressed when no number is asked for, it is as if the caller had
    said them."""


class Voicemail(Record):
    """Messages that callers leave outside of the opening hours."""

    greeting: Annotated[str, Field(max_length=2000)] = ""
    """Words before the tone. Empty: the phrase voicemail.greeting of PHRASES_FILE."""
    max_seconds: Annotated[float, Field(ge=5, le=600, strict=True)] = 120.0
    """Length (s) of a message."""
    folder: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """Folder in which the voices are recorded as well. Not set: a message is its words alone."""
    folder_megabytes: Annotated[int, Field(ge=1, le=10_000_000, strict=True)] = 1000
    """Size of all recordings above which no further one is made."""
    folder_days: Annotated[int, Field(ge=1, le=3650, strict=True)] = 90
    """Days after which a recording is removed."""


class Outbound(Record):
    """Calls that agents make."""

    trunk: Name
    """Trunk through which they go."""
    fallback: Annotated[tuple[Name, ...], Field(max_length=5)] = ()
    """Trunks that are tried next, in this order, when a carrier refuses or does not answer."""
    caller_id: Number
    """Number that the called person sees."""
    calls_at_once: Annotated[int, Field(ge=1, le=1000, strict=True)] = 1
    """Calls at a time."""
    calls_per_second: Annotated[float, Field(gt=0, le=100, strict=True)] = 1.0
    """New calls in a second, as carriers limit them."""
    ring_for: Annotated[float, Field(ge=1, strict=True), AfterValidator(_within_a_dial)] = 30.0
    """Seconds for which the telephone rings at the other side, 75 at most."""
    max_minutes: _Minutes = 30.0
    """Minutes after which a call is ended."""
    allowed_prefixes: Annotated[
        tuple[Annotated[str, Field(pattern=PREFIX_PATTERN)], ...], Field(max_length=1000)
    ] = ()
    """Beginnings of the numbers that may be called, such as "+49". Empty: all numbers."""
    do_not_call: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """File of numbers that are never called, one a line."""
    do_not_call_url: (
        Annotated[str, Field(max_length=1024, pattern=r"^https?://[^\s@/]+(/\S*)?$")] | None
    ) = None
    """Address that is asked before each call: it gets {"number": "+..."} and answers
    {"allowed": true} or false."""


class Person(Record):
    """A person to whom calls may be transferred."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    """Name by which an assistant knows them."""
    number: Address
    """Their number, extension or SIP address."""
    about: Annotated[str, Field(max_length=500)] = ""
    """Note for the assistant: which calls they take."""
    hours: Name | None = None
    """Name of the [hours] in which they may be called. Not set: always."""
    transfer: Literal["warm", "cold"] = "warm"
    """How callers are put through: "warm", the agent calls and briefs them first; "cold", the
    caller's telephone is asked to call them."""


class PhoneSetup(Record):
    """The whole file."""

    media: Media = Media()
    service: SipService = SipService()
    trunks: Annotated[tuple[Trunk, ...], Field(max_length=500)] = ()
    numbers: Annotated[tuple[PhoneNumber, ...], Field(max_length=MAX_NUMBERS)] = ()
    hours: Mapping[Name, OpeningHours] = Field(default_factory=dict, max_length=1000)
    voicemail: Voicemail = Voicemail()
    outbound: Outbound | None = None
    people: Annotated[tuple[Person, ...], Field(max_length=1000)] = ()

    @cached_property
    def by_number(self) -> Mapping[str, PhoneNumber]:
        return {comparable(each.number): each for each in self.numbers}

    @cached_property
    def by_trunk(self) -> Mapping[str, Trunk]:
        return {each.name: each for each in self.trunks}

    @cached_property
    def _numbers_by_trunk(self) -> Mapping[str, Sequence[PhoneNumber]]:
        numbers: dict[str, list[PhoneNumber]] = {}
        for each in self.numbers:
            numbers.setdefault(self.trunk_of(each).name, []).append(each)
        return numbers

    def find(self, called: str) -> PhoneNumber | None:
        """Returns the number that a carrier means, with its plus sign, with 00, or without."""
        return self.by_number.get(comparable(same_for_people(called)))

    def trunk_of(self, number: PhoneNumber) -> Trunk:
        return self.by_trunk[number.trunk] if number.trunk else self.trunks[0]

    @property
    def trunk_of_others(self) -> Trunk | None:
        """The one trunk that takes calls to numbers which the file does not have, if any does."""
        return next((each for each in self.trunks if each.other_numbers), None)

    def numbers_of(self, trunk: Trunk) -> Sequence[PhoneNumber]:
        """Returns the numbers whose calls come in on a trunk."""
        return self._numbers_by_trunk.get(trunk.name, ())

    def caller_ids(self, trunk: Trunk) -> Sequence[str]:
        """Returns the numbers that calls out on a trunk may show, the best first."""
        out = self.outbound
        own = [trunk.caller_id] if trunk.caller_id else []
        if out and trunk.name in {out.trunk, *out.fallback}:
            own.append(out.caller_id)
        return list(dict.fromkeys([*own, *(each.number for each in self.numbers_of(trunk))]))

    @property
    def trunks_out(self) -> Sequence[Trunk]:
        """The trunks for calls out, in the order of their use; none without [outbound]."""
        out = self.outbound
        return [self.by_trunk[name] for name in (out.trunk, *out.fallback)] if out else []

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        _require_distinct("trunks", [each.name for each in self.trunks])
        _require_distinct("people", [each.name.casefold() for each in self.people])
        written = [each.number for each in self.numbers]
        _require_distinct("numbers", [comparable(each) for each in written], written)
        for number in self.numbers:
            self._check_number(number)
        self._check_others()
        for trunk in self.trunks:
            if trunk.address and not self.caller_ids(trunk):
                raise ValueError(
                    f"[[trunks]] {trunk.name!r}: address: a call out shows a number; add"
                    " caller_id, a [[numbers]] on this trunk, or an [outbound]"
                )
        self._check_outbound()
        for person in self.people:
            self._check_hours(f"[[people]] {person.name!r}", person.hours)
            if is_emergency(person.number):
                raise ValueError(
                    f"[[people]] {person.name!r}: number: is an emergency number, which no agent"
                    " may call; write another"
                )
        return self

    def _check_outbound(self) -> None:
        names = (self.outbound.trunk, *self.outbound.fallback) if self.outbound else ()
        for place, name in enumerate(names):
            self._check_trunk("[outbound]", name, "fallback" if place else "trunk")
            if self.by_trunk[name].address is None:
                raise ValueError(
                    f"[outbound]: the trunk {name!r} has no address for calls out; write"
                    ' address = "sip.example.com" in its [[trunks]]'
                )
            if name in names[:place]:
                raise ValueError(f"[outbound]: fallback: {name!r} is there twice; remove one")

    def _check_others(self) -> None:
        taking = [each.name for each in self.trunks if each.other_numbers]
        if len(taking) > 1:
            raise ValueError(
                f"[[trunks]] {taking[1]!r}: other_numbers: {taking[0]!r} has it already, and"
                " LiveKit takes one trunk for all other numbers; remove one of them"
            )

    def _check_number(self, number: PhoneNumber) -> None:
        place = f"[[numbers]] {number.number}"
        if number.trunk is None and len(self.trunks) != 1:
            what = "there is none; add a [[trunks]]" if not self.trunks else "there are several"
            raise ValueError(f'{place}: trunk: {what}; write trunk = "<name>"')
        if number.trunk is not None:
            self._check_trunk(place, number.trunk)
        self._check_hours(place, number.hours)

    def _check_trunk(self, place: str, name: str, key: str = "trunk") -> None:
        if name not in self.by_trunk:
            raise ValueError(
                f"{place}: {key}: there is no {name!r}; {_known('[[trunks]]', self.by_trunk)}"
            )

    def _check_hours(self, place: str, name: str | None) -> None:
        if name is not None and name not in self.hours:
            raise ValueError(
                f"{place}: hours: there are no {name!r}; {_known('[hours.<name>]', self.hours)}"
            )


def _require_distinct(table: str, names: list[str], written: Sequence[str] = ()) -> None:
    positions: dict[str, int] = {}
    for position, name in enumerate(names, 1):
        first = positions.setdefault(name, position)
        if first != position:
            key = "number" if table == "numbers" else "name"
            raise ValueError(
                f"[[{table}]] {position}: {key}: {(written or names)[position - 1]!r} is there"
                f" already, in [[{table}]] {first};"
                " remove one of them"
            )


def _known(table: str, names: Mapping[str, object]) -> str:
    shown = ", ".join([*names][:10])
    return f"write one of {shown}" if shown else f"add a {table}"
