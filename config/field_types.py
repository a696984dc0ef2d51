"""Defines the types of the agent's own settings, besides those of `llm_router.settings`."""

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from llm_router.settings.field_types import address, expand_user, matching, split

MIN_SECRET_LENGTH = 32
"""Characters, as HMAC-SHA256 needs, which signs LiveKit's tokens."""


def _origin(value: str) -> str:
    value = value.rstrip("/")
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or value != f"{parts.scheme}://{parts.netloc}":
        raise ValueError("should be origins such as https://www.example.org, separated by commas")
    return value.lower()


def _check_secret_length(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < MIN_SECRET_LENGTH:
        raise ValueError(
            f"should have at least {MIN_SECRET_LENGTH} characters; make one with"
            " python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return secret


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
Delay = Annotated[float, Field(ge=0)]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)]
BackendType = Annotated[
    Literal["local", "ollama", "vllm", "instructlab", "openai"], BeforeValidator(_lower)
]
Origins = Annotated[
    tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(split)
]
LiveKitSecret = Annotated[SecretStr, AfterValidator(_check_secret_length)]
FileOrOff = Annotated[Literal["off"] | Path | None, BeforeValidator(_file_or_off)]
