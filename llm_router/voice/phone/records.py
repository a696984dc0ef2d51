"""Defines the base of the records of the telephone's file, and their common types."""

import re
from ipaddress import ip_address, ip_network
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr, StringConstraints

from llm_router.errors import ConfigurationError
from llm_router.voice.assistant import NAME_PATTERN
from llm_router.voice.phone.numbers import parse_address, parse_number


class Record(BaseModel):
    """A table of the file. Immutable; a key that it does not know is refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )


class UnsetSecret(SecretStr):
    """A password whose variable is not set, which matters only to a process that needs it.

    Reading it raises ConfigurationError with `why`.
    """

    def __init__(self, why: str) -> None:
        super().__init__("unset")
        self.why = why

    def get_secret_value(self) -> str:
        raise ConfigurationError(self.why)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnsetSecret) and self.why == other.why

    def __hash__(self) -> int:
        return hash(self.why)


def known_zone(name: str) -> str:
    """Returns the name of a time zone as it is. Raises ValueError for one that there is not."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # its errors name files
        raise ValueError("is no known time zone; write one such as Europe/Berlin") from None
    return name


def _network(text: str) -> str:
    bare = text.strip()
    try:
        return str(ip_network(bare, strict=False)) if "/" in bare else str(ip_address(bare))
    except ValueError:
        raise ValueError(
            'is no address; write one such as "203.0.113.7", or a network, "203.0.113.0/24"'
        ) from None


def _host(text: str) -> str:
    bare = text.strip()
    found = re.fullmatch(
        r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
        r"(?::([0-9]{1,5}))?",
        bare,
    )
    if not found or int(found[1] or 1) not in range(1, 65536):
        raise ValueError(
            'is no address; write a name and, if need be, a port: "sip.example.com:5060". The'
            " transport is a key of its own"
        )
    return bare


def _header(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", text):
        raise ValueError('is no name of a header; write one such as "X-Account"')
    return text


Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[\x20-\x7e]*$")]
Number = Annotated[str, StringConstraints(max_length=64), AfterValidator(parse_number)]
Address = Annotated[str, StringConstraints(max_length=256), AfterValidator(parse_address)]
Network = Annotated[str, StringConstraints(max_length=64), AfterValidator(_network)]
Host = Annotated[str, StringConstraints(max_length=260), AfterValidator(_host)]
Header = Annotated[str, AfterValidator(_header)]
