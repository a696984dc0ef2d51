"""Separates the secrets of an assistant from the rest of it, and joins them again.

Its secrets are the values of all `headers` in it. The rest can be shown and stored as it is: a mask
takes the place of each secret.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from llm_router.errors import ConfigurationError
from llm_router.voice.assistant import AssistantRecord, parse_assistant

MASK = "**********"
"""Text that is shown for a secret, and that stands for the stored secret in an edit."""
_SEALED = "headers"
_VARIABLE = "env:"


@dataclass(frozen=True, slots=True)
class _Secret:
    place: tuple[str | int, ...]
    """Keys and positions that lead to it."""
    identity: tuple[str, ...]
    """The same with the name of an item, where it has one, in place of its position."""
    origin: str
    """Origin of the address that it is sent to, where an item around it has a `url`."""
    value: str = field(repr=False)


def split_secrets(record: AssistantRecord) -> tuple[AssistantRecord, str | None]:
    """Returns the record with masks, and its secrets as JSON text; None: it has none."""
    values = plain(record)
    found = [(secret.place, secret.value) for secret in _secrets(values)]
    if not found:
        return record, None
    for place, _ in found:
        _put(values, place, MASK)
    return parse_assistant(values), json.dumps(found)


def join_secrets(masked: AssistantRecord, secrets: str | None) -> AssistantRecord:
    """Makes the record again that `split_secrets` was given. Raises ConfigurationError."""
    if secrets is None:
        return masked
    values = plain(masked)
    for place, value in json.loads(secrets):
        _put(values, place, value)
    return parse_assistant(values)


def unmasked(new: AssistantRecord, stored: AssistantRecord) -> AssistantRecord:
    """Returns `new` with the stored secret wherever it has a mask, as an edited copy has.

    Raises ConfigurationError where none is stored, or the address that it would be sent to is of
    another origin: a person with the right to edit could have it sent to a server of their own.
    """
    before = {secret.identity: secret for secret in _secrets(plain(stored))}
    values = plain(new)
    for secret in [secret for secret in _secrets(values) if secret.value == MASK]:
        place = ".".join(secret.identity)
        known = before.get(secret.identity)
        if known is None or known.value == MASK:
            raise ConfigurationError(f"assistant {new.name!r}: {place}: give the secret itself")
        if known.origin != secret.origin:
            raise ConfigurationError(
                f"assistant {new.name!r}: {place}: its address is another now, so give the secret"
                " again"
            )
        _put(values, secret.place, known.value)
    return parse_assistant(values)


def with_variables(record: AssistantRecord, environ: Mapping[str, str]) -> AssistantRecord:
    """Returns the record with a variable's value in place of each secret `env:NAME`.

    Raises ConfigurationError for a variable that is not set.
    """
    values = plain(record)
    named = [secret for secret in _secrets(values) if secret.value.startswith(_VARIABLE)]
    for secret in named:
        name = secret.value.removeprefix(_VARIABLE)
        if not environ.get(name):
            place = ".".join(secret.identity)
            raise ConfigurationError(
                f"assistant {record.name!r}: {place}: the variable {name[:100]} is not set"
            )
        _put(values, secret.place, environ[name])
    return parse_assistant(values) if named else record


def plain(record: AssistantRecord) -> dict[str, Any]:
    """Returns the fields that are set as JSON values, secrets included."""
    return record.model_dump(mode="json", exclude_unset=True)


def _put(values: Any, place: Sequence[str | int], value: str) -> None:
    *way, last = place
    for step in way:
        values = values[step]
    values[last] = value


def _secrets(
    value: Any,
    place: tuple[str | int, ...] = (),
    identity: tuple[str, ...] = (),
    origin: str = "",
) -> Iterator[_Secret]:
    if isinstance(value, dict):
        origin = _origin(value.get("url")) or origin
        for name, inner in value.items():
            way = (*place, name), (*identity, str(name))
            if place and place[-1] == _SEALED and isinstance(inner, str):
                yield _Secret(*way, origin, inner)
            else:
                yield from _secrets(inner, *way, origin)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            name = inner.get("name") if isinstance(inner, dict) else None
            yield from _secrets(inner, (*place, number), (*identity, str(name or number)), origin)


def _origin(url: Any) -> str:
    if not isinstance(url, str):
        return ""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()
