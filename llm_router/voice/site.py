"""Defines a website whose visitors may talk to an assistant, and what they may use."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationError,
)

from llm_router.errors import ConfigurationError
from llm_router.voice.assistant import DEFAULT, NAME_PATTERN
from llm_router.voice.calls import Keep
from llm_router.voice.faults import explain

KEY_PREFIX = "site_"
KEY_PATTERN = rf"^{KEY_PREFIX}[A-Za-z0-9_-]{{8,64}}$"
"""A site key is public: it is in the page of the site. It grants what the site's record says."""
Mode = Literal["text", "voice"]

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(
    r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:.]+\]"
)


def origin_of(text: str) -> str:
    """Returns an origin as browsers send it: `https://shop.example` or with a port of its own.

    A capital letter, a usual port or a slash at the end is put right. Raises ValueError.
    """
    parts = urlsplit(text.strip().lower())
    scheme, rest = parts.scheme, (parts.path, parts.query, parts.fragment)
    if scheme not in _PORTS or rest not in {("", "", ""), ("/", "", "")} or "@" in parts.netloc:
        raise ValueError(
            f"must be origins such as https://shop.example, with no path; {text[:100]!r} is none"
        )
    host, _, port = parts.netloc.rpartition(":")
    if not host or not port.isdigit():
        host, port = parts.netloc, ""
    host = _ascii_host(host)
    if not _HOST.fullmatch(host) or (port and not 0 < int(port) < 2**16):
        raise ValueError(f"must name a host, and a port of 1 to 65535 if any: {text[:100]!r}")
    own_port = f":{int(port)}" if port and int(port) != _PORTS[scheme] else ""
    return f"{scheme}://{host}{own_port}"


def _ascii_host(host: str) -> str:
    """Returns a host as browsers send it: names in other scripts as `xn--…`."""
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return ""


def _origins(given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(origin_of(one) for one in given))


_Count = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]


class SiteRecord(BaseModel):
    """One website: who may ask, which assistant answers, and what its visitors may use.

    A field that is not set is the setting's, or no limit of its own; the settings' own limits hold
    for all sites together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
    """Name for people, such as `shop`."""
    description: Annotated[str, StringConstraints(max_length=300)] = ""
    origins: Annotated[
        tuple[str, ...], Field(min_length=1, max_length=50), AfterValidator(_origins)
    ]
    """Origins of the pages that may ask with its key, such as `https://shop.example`."""
    assistant: Annotated[str, StringConstraints(pattern=NAME_PATTERN)] = DEFAULT
    """Name of the assistant that answers."""
    modes: Annotated[
        frozenset[Mode], Field(min_length=1), PlainSerializer(sorted, when_used="json")
    ] = frozenset({"text", "voice"})
    """The ways to talk: `text`, `voice`, or both."""
    is_active: Annotated[bool, Field(strict=True)] = True
    """Whether its key is accepted."""
    calls_at_once: _Count | None = None
    """Calls of its visitors at a time."""
    calls_per_minute: _Count | None = None
    """Calls that all its visitors together may begin in a minute."""
    calls_per_visitor: _Count | None = None
    """Calls that one visitor's address may begin in an hour."""
    longest_call: Annotated[int, Field(ge=10, le=86_400, strict=True)] | None = None
    """Seconds after which a call is ended kindly. Not set: as the assistant and settings say."""
    spend_per_day: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """Cost of its calls in a day (UTC), in the currency of the connections' prices. Then no new
    call begins; one that goes on may spend at most what was left when it began."""
    consent: Annotated[str, StringConstraints(max_length=2_000)] = ""
    """Text that its visitors agree to in the widget before anything else; it may have links."""
    keep: Keep | None = None
    """The part of its calls that stays stored. Not set: as the assistant says."""
    keep_days: Annotated[int, Field(ge=1, le=3650, strict=True)] | None = None
    """Days for which it is stored. Not set: as the assistant says."""


def account_of(name: str) -> str:
    """Returns the account under which the use of a site's calls is counted."""
    return f"site:{name}"


def parse_site(values: Mapping[str, Any]) -> SiteRecord:
    """Makes a record of plain values. Raises ConfigurationError, which names field and fault."""
    try:
        return SiteRecord.model_validate(values)
    except ValidationError as error:
        given = values.get("name")
        name = given[:64] if isinstance(given, str) else ""
        raise ConfigurationError(f"site {name!r}: {explain(error)}") from None


def changed(stored: SiteRecord, changes: Mapping[str, Any]) -> SiteRecord:
    """Returns the record with new values for the fields named; None: back to the default.

    Raises ConfigurationError.
    """
    if "name" in changes and changes["name"] != stored.name:
        raise ConfigurationError(
            f"site {stored.name!r}: its name cannot be changed; create another from it"
        )
    values = {**stored.model_dump(mode="json", exclude_defaults=True), **changes}
    return parse_site({name: value for name, value in values.items() if value is not None})
