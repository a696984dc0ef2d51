"""Decides how a person's telephone is reached: by the trunk for calls out, or directly. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import SecretStr

from llm_router.voice.phone.records import UnsetSecret
from llm_router.voice.phone.setup import Outbound, Person, PhoneSetup, Trunk


class UnreachableError(Exception):
    """The file says too little to call a person. The message says what to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Telephone:
    """A telephone to call: `user` at `host`, with what its trunk asks for."""

    host: str
    user: str
    transport: Literal["auto", "udp", "tcp", "tls"] = "auto"
    username: str = ""
    password: SecretStr | None = None
    caller_id: str = ""
    encryption: Literal["disable", "allow", "require"] = "disable"
    max_minutes: float


def telephones_of(person: Person, setup: PhoneSetup) -> Sequence[Telephone]:
    """Returns the ways to call a person, in the order of their use: by each trunk, or directly.

    Raises UnreachableError if there is none.
    """
    out = setup.outbound
    encryption = setup.media.encryption
    if address := re.fullmatch(r"sips?:([^@;]+)@([^;>?]+).*", person.number, re.IGNORECASE):
        caller_id = out.caller_id if out else "patchbay"
        directly = Telephone(
            host=address[2],
            user=address[1],
            caller_id=caller_id,
            encryption=encryption,
            max_minutes=out.max_minutes if out else 60.0,
        )
        return [directly]
    if out is None:
        raise UnreachableError(
            "config/phone.toml has no [outbound] trunk with an address: write one, or the person's"
            " SIP address as `number`"
        )
    found = [*_by_trunk(person, setup, out)]
    if not found:
        raise UnreachableError(next(_unset(setup.trunks_out)))
    return found


def _by_trunk(person: Person, setup: PhoneSetup, out: Outbound) -> Iterator[Telephone]:
    """Yields the telephone by each trunk that has its password."""
    for trunk in setup.trunks_out:
        if not isinstance(trunk.password, UnsetSecret):
            yield Telephone(
                host=trunk.address or "",
                user=person.number,
                transport=trunk.transport,
                username=trunk.username or "",
                password=trunk.password,
                caller_id=setup.caller_ids(trunk)[0],
                encryption=setup.media.encryption,
                max_minutes=out.max_minutes,
            )


def _unset(trunks: Sequence[Trunk]) -> Iterator[str]:
    return (each.password.why for each in trunks if isinstance(each.password, UnsetSecret))


def unreachable(setup: PhoneSetup) -> Mapping[str, str]:
    """Returns why people of the file cannot be called, by their names."""
    found = {}
    for person in setup.people:
        try:
            telephones_of(person, setup)
        except UnreachableError as error:
            found[person.name] = str(error)
    return found
