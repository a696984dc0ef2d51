"""Defines the types of settings, each with its check and an error that says what is expected."""

import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

STATE_FOLDER = Path("~/.local/state/patchbay")
"""Default folder of files that persist between starts."""


def address(*schemes: str) -> AfterValidator:
    """Makes the check of an address with one of the schemes; it loses a slash at its end."""

    def check(value: str) -> str:
        try:
            parts = urlsplit(value)
            fits = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
            # An address must hold no password, since logs and errors show it.
            fits = fits and "@" not in parts.netloc
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(f"should look like {schemes[0]}://host:port, with no password in it")
        return value.rstrip("/")

    return AfterValidator(check)


def matching(pattern: str, expected: str) -> AfterValidator:
    """Makes the check of a text against a pattern; `expected` says in words what it asks."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"should be {expected}")
        return value

    return AfterValidator(check)


def expand_user(value: Path | str) -> Path:
    return Path(os.path.expanduser(value))  # noqa: PTH111  pathlib's raises without a home folder


def _database(url: SecretStr) -> SecretStr:
    text = url.get_secret_value() or f"sqlite:///{STATE_FOLDER}/patchbay.sqlite3"
    if not re.match(r"(sqlite:///|postgres(ql)?(\+\w+)?://[^/]+/)[^/]|sqlite:////", text):
        raise ValueError(
            "should look like sqlite:///path/to/file or postgresql://user:password@host/name"
        )
    return SecretStr(re.sub(r"^sqlite:///(~/.*)", lambda m: f"sqlite:///{expand_user(m[1])}", text))


def _redis(url: SecretStr | None) -> SecretStr | None:
    if url and not re.match(r"rediss?://[^/]", url.get_secret_value()):
        raise ValueError("should look like redis://127.0.0.1:6379/0")
    return url


def _allowed_address(value: str) -> str:
    """Checks a host name, `*.suffix` or network for `net.guard.AddressGuard`."""
    try:
        return str(ip_network(value, strict=False))
    except ValueError:
        if not re.fullmatch(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", value):
            raise ValueError(
                "should be networks such as 10.0.0.0/8, host names or *.suffixes, separated by"
                " commas"
            ) from None
    return value.lower()


def split(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


HttpUrl = Annotated[str, address("http", "https")]
RateLimit = Annotated[
    str,
    matching(
        r"[1-9]\d{0,5}/(second|minute|hour|day)",
        "a number per second, minute, hour or day, such as 10/minute",
    ),
]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0)]
AllowedAddresses = Annotated[
    tuple[Annotated[str, AfterValidator(_allowed_address)], ...], NoDecode, BeforeValidator(split)
]
UserFile = Annotated[Path, AfterValidator(expand_user)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database)]
RedisUrl = Annotated[SecretStr | None, AfterValidator(_redis)]
