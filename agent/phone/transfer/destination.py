"""Decides how a person's telephone is reached: by the trunk for calls out, or directly. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import SecretStr

from llm_router.voice.phone.records import UnsetSecret
from llm_router.voice.phone.setup import Person, PhoneSetup


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


def telephone_of(person: Person, setup: PhoneSetup) -> Telephone:
    """Returns how to call a person. Raises UnreachableError."""
    out = setup.outbound
    encryption = setup.media.encryption
    if address := re.fullmatch(r"sips?:([^@;]+)@([^;>?]+).*", person.number, re.IGNORECASE):
        caller_id = out.caller_id if out else "patchbay"
        return Telephone(
            host=address[2],
            user=address[1],
            caller_id=caller_id,
            encryption=encryption,
            max_minutes=out.max_minutes if out else 60.0,
        )
    trunk = setup.by_trunk[out.trunk] if out else None
    if out is None or trunk is None or trunk.address is None:
        raise UnreachableError(
            "config/phone.toml has no [outbound] trunk with an address: write one, or the person's"
            " SIP address as `number`"
        )
    if isinstance(trunk.password, UnsetSecret):
        raise UnreachableError(trunk.password.why)
    return Telephone(
        host=trunk.address,
        user=person.number,
        transport=trunk.transport,
        username=trunk.username or "",
        password=trunk.password,
        caller_id=out.caller_id,
        encryption=encryption,
        max_minutes=out.max_minutes,
    )


def unreachable(setup: PhoneSetup) -> Mapping[str, str]:
    """Returns why people of the file cannot be called, by their names."""
    found = {}
    for person in setup.people:
        try:
            telephone_of(person, setup)
        except UnreachableError as error:
            found[person.name] = str(error)
    return found
