"""Defines the types of the agent's own settings, besides those of `llm_router.settings`."""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

from llm_router.settings.field_types import address, expand_user, matching, split

MIN_SECRET_LENGTH = 32
"""Characters, as HMAC-SHA256 needs, which signs LiveKit's tokens."""
MIN_PROXY_KEY_LENGTH = 16
"""Characters, so that it cannot be guessed, nor be the example of another program's README."""
_DEV_KEY, _DEV_SECRET = "devkey", "secret"
"""The keys of every `livekit-server --dev`."""


def _origin(value: str) -> str:
    value = value.rstrip("/")
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or value != f"{parts.scheme}://{parts.netloc}":
        raise ValueError("should be origins such as https://www.example.org, separated by commas")
    return value.lower()


def _origins_or_all(origins: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in origins:
        return ("*",)
    return tuple(map(_origin, origins))


def _proxy_key(key: SecretStr | None) -> SecretStr | None:
    text = key.get_secret_value() if key else ""
    if text and not re.fullmatch(rf"[!-~]{{{MIN_PROXY_KEY_LENGTH},200}}", text):
        raise ValueError(
            f"should have {MIN_PROXY_KEY_LENGTH} to 200 letters, digits and signs without spaces;"
            " make one with python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return key


def _is_here(values: Mapping[str, Any]) -> bool:
    """Returns whether LiveKit can be reached from this machine alone, by its valid addresses."""
    addresses = (values.get("livekit_url"), values.get("livekit_public_url"))
    hosts = [urlsplit(address).hostname or "" for address in addresses if address]
    return all(map(is_this_machine, hosts))


def is_this_machine(host: str) -> bool:
    """Returns whether a host's name or address is a loopback one."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _fill_key(key: str, info: ValidationInfo) -> str:
    return key or _fill(_DEV_KEY, info.data)


def _fill_secret(secret: SecretStr, info: ValidationInfo) -> SecretStr:
    text = secret.get_secret_value()
    if not text:
        is_dev = info.data.get("livekit_api_key") == _DEV_KEY
        return SecretStr(_fill(_DEV_SECRET if is_dev else "", info.data))
    if len(text) < MIN_SECRET_LENGTH and not _is_here(info.data):
        raise ValueError(
            f"should have at least {MIN_SECRET_LENGTH} characters, since others can reach the"
            " LiveKit server; make one with"
            " python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return secret


def _fill(value: str, settings: Mapping[str, Any]) -> str:
    """Returns `value` for a LiveKit server on this machine; else the setting counts as missing."""
    if not value or not _is_here(settings):
        raise PydanticCustomError("missing", "is not set")
    return value


def _host(value: str) -> str:
    if not re.fullmatch(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[?[0-9A-Fa-f:.]+\]?", value):
        raise ValueError(
            "should be host names such as agent.example.org, without port or path, separated by"
            " commas"
        )
    return value.strip("[]").lower()


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _file_or_off(value: Any) -> Any:
    return value if value in {None, "off"} else expand_user(value)


LiveKitUrl = Annotated[str, address("ws", "wss", "http", "https")]
AgentName = Annotated[
    str,
    matching(r"[A-Za-z0-9_.-]{1,64}", "1 to 64 letters, digits, points, dashes or underscores"),
]
Language = Annotated[
    str, matching(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", "a language code such as en or pt-BR")
]
Languages = Annotated[tuple[Language, ...], NoDecode, BeforeValidator(split), Field(max_length=20)]
Delay = Annotated[float, Field(ge=0)]
LogFormat = Annotated[Literal["auto", "json", "text"], BeforeValidator(_lower)]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)]
BackendType = Annotated[
    Literal["local", "ollama", "vllm", "instructlab", "openai"], BeforeValidator(_lower)
]
Origins = Annotated[
    tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(split)
]
OriginsOrAll = Annotated[
    tuple[str, ...], NoDecode, BeforeValidator(split), AfterValidator(_origins_or_all)
]
ProxyKey = Annotated[SecretStr | None, AfterValidator(_proxy_key)]
LiveKitKey = Annotated[str, AfterValidator(_fill_key)]
Names = Annotated[
    tuple[
        Annotated[
            str, matching(r"[A-Za-z0-9_-]{1,64}", "1 to 64 letters, digits, dashes or underscores")
        ],
        ...,
    ],
    NoDecode,
    BeforeValidator(split),
]
Hosts = Annotated[
    tuple[Annotated[str, AfterValidator(_host)], ...], NoDecode, BeforeValidator(split)
]
LiveKitSecret = Annotated[SecretStr, AfterValidator(_fill_secret)]
FileOrOff = Annotated[Literal["off"] | Path | None, BeforeValidator(_file_or_off)]
